import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { createConversationProducer, InputError, SpoolFull } from '../../producers/conversation-producer.ts';
import type { ConversationInput, ProducerOptions } from '../../producers/conversation-producer.ts';
import { Drain } from '../../producers/drain.ts';
import type { ProducedEvent } from '../../producers/inputs.ts';
import { openSpool } from '../../producers/spool.ts';

// Nothing listens on port 9, so there is no Kafka and no registry. test/integration tests a producer that has both.
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-outage-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const create = (options: Partial<ProducerOptions> = {}) =>
  createConversationProducer({
    kafka: { brokers: '127.0.0.1:9' },
    schemaRegistryUrl: 'http://127.0.0.1:9',
    spoolFolder: folder,
    deliveryTimeoutMs: 300,
    ...options,
  });
const input: ConversationInput = {
  user_message: 'where is my order?',
  language: 'en',
  nlu_intent: 'track_order',
  nlu_module: 'food',
  nlu_confidence: 0.9,
  nlu_provider: 'indicbert',
};

describe('a producer without Kafka and registry', () => {
  it('opens, stores records on disk, and leaves them to the next one', async () => {
    const producer = await create();
    const [first, second] = await Promise.all([
      producer.captureConversation(input),
      producer.captureConversation({ ...input, conversation_id: 'c-2', created_at: new Date('2025-10-05T09:30:00Z') }),
      producer.submitReview({ conversation_id: 'c-2', verdict: 'approve', reviewer: 'asha' }),
    ]);
    assert.equal(first.stored, 'spool');
    assert.match(first.conversation_id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(second, { conversation_id: 'c-2', stored: 'spool' });
    const { connected, spooled, acknowledged, spoolBytes } = producer.stats();
    assert.deepEqual([connected, spooled, acknowledged], [false, 3, 0]);
    assert.ok(spoolBytes > 0);
    await producer.flush();
    await producer.close();
    await assert.rejects(producer.captureConversation(input), /closed/);

    const spool = await openSpool({ folder, maxBytes: 1e9 });
    const [segment] = await spool.segments();
    const lines = (await readFile(segment?.file ?? '', 'utf8')).trimEnd().split('\n');
    const spooled2 = lines.map((line) => JSON.parse(line) as { kind: string; record: Record<string, unknown> });
    assert.deepEqual(
      spooled2.map(({ kind }) => kind),
      ['conversation', 'conversation', 'review'],
    );
    assert.equal(spooled2[1]?.record['created_at'], Date.UTC(2025, 9, 5, 9, 30));
    await spool.close();
  });

  it('spools the trace too, and logs its id', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const lines: Record<string, unknown>[] = [];
    const write = (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>);
    const producer = await create({ log: pino({ level: 'debug' }, { write }) });
    await producer.captureConversation({ ...input, conversation_id: 'c-1' }, { traceparent });
    await producer.submitReview({ conversation_id: 'c-1', verdict: 'approve', reviewer: 'asha' });
    await producer.close();
    assert.deepEqual(
      lines.filter(({ msg }) => msg === 'spooled').map((line) => [line['conversation_id'], line['trace_id']]),
      [
        ['c-1', '4bf92f3577b34da6a3ce929d0e0e4736'],
        ['c-1', undefined],
      ],
    );
    const spool = await openSpool({ folder, maxBytes: 1e9 });
    const delivered: ProducedEvent[] = [];
    const deliver = (event: ProducedEvent) => Promise.resolve(void delivered.push(event));
    await new Drain(spool, { connected: true, healthy: true, deliver }, undefined).finish(10_000);
    await spool.close();
    assert.deepEqual(
      delivered.map((event) => event.traceparent),
      [traceparent, undefined],
    );
  });

  it('refuses bad input and stores nothing of it', async () => {
    const producer = await create();
    const invalid: readonly Partial<Record<keyof ConversationInput, unknown>>[] = [
      { nlu_confidence: 2 },
      { created_at: new Date(Number.NaN) },
      { created_at: '2125-10-05T09:30:00Z' },
      { language: '' },
    ];
    for (const change of invalid) {
      const [field] = Object.keys(change);
      await assert.rejects(
        producer.captureConversation({ ...input, ...change } as ConversationInput),
        (error) => error instanceof InputError && error.problems[0]?.field === field,
      );
    }
    await producer.close();
    assert.deepEqual(await readdir(folder), []);
  });

  it('refuses records when its spool is full', async () => {
    const producer = await create({ maxSpoolBytes: 3000 });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => producer.captureConversation(input)));
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
    assert.ok(refused.length > 0 && refused.length < 20);
    assert.ok(refused.every((error) => error instanceof SpoolFull));
    await producer.close();
  });
});
