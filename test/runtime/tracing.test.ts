import assert from 'node:assert/strict';
import { it } from 'node:test';
import fastify from 'fastify';
import { pino } from 'pino';
import { classifyRoutes } from '../../http/classify.ts';
import { ingestRoutes } from '../../http/ingest.ts';
import { describeApi } from '../../http/openapi.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import type { ProducedEvent } from '../../producers/inputs.ts';
import { openTracing } from '../../runtime/tracing.ts';
import { startCollector } from '../otlp-collector.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const CALLER = '00f067aa0ba902b7';
const conversation = {
  ...{ conversation_id: 'c-1', user_message: 'where is my order?', language: 'en', nlu_intent: 'track_order' },
  ...{ nlu_module: 'food', nlu_confidence: 0.4, nlu_provider: 'indicbert', created_at: '2026-10-05T09:30:00Z' },
};

it('a request of a sampled trace is a span under the caller, and the records that it sends continue under that span', async (t) => {
  const collector = await startCollector();
  t.after(() => collector.stop());
  const log = pino({ level: 'silent' });
  const tracing = openTracing({ endpoint: collector.endpoint, log });
  const sent: ProducedEvent[] = [];
  const app = fastify();
  t.after(() => app.close());
  const send = (event: ProducedEvent) => {
    sent.push(event);
    return Promise.resolve({ conversation_id: event.record.conversation_id, stored: 'kafka' as const });
  };
  describeApi(app);
  ingestRoutes(app, { producer: { send }, tracing });
  classifyRoutes(app, {
    classifier: { classify: () => Promise.reject(new Error('no model')) },
    policy: () => defaultPolicy,
    tracing,
  });
  const post = (url: string, payload: object, traceparent?: string) =>
    app.inject({ method: 'POST', url, payload, headers: traceparent === undefined ? {} : { traceparent } });
  for (const traceparent of [undefined, `00-${TRACE}-${CALLER}-00`, `00-${TRACE}-${CALLER}-01`])
    assert.equal((await post('/v1/conversations', conversation, traceparent)).statusCode, 202);
  await post('/v1/classify', { text: 'where is my order?' }, `00-${TRACE}-${CALLER}-01`);
  await tracing.stop();

  const [ingest, classify, ...more] = collector.spans;
  assert.deepEqual(
    [ingest, classify].map((span) => [span?.name, span?.traceId, span?.parentSpanId]),
    ['POST /v1/conversations', 'POST /v1/classify'].map((name) => [name, TRACE, CALLER]),
  );
  assert.deepEqual([ingest?.status.code, classify?.status.code, more], [0, 2, []]); // 2: an error
  assert.deepEqual(
    sent.map(({ traceparent }) => traceparent),
    [undefined, `00-${TRACE}-${CALLER}-00`, `00-${TRACE}-${ingest?.spanId ?? ''}-01`],
  );
});
