/**
 * Spans of sampled traces, sent by OTLP/HTTP to a collector such as Jaeger or Tempo.
 *
 * The log holds nothing about spans: a record keeps the `traceparent` that it came with, in a replay too. A span id is a hash of that
 * header, the component and the subject of the record's key. So each component can compute the id of the parent span: the span of the
 * processor that writes the topic, or the caller's span for a record from outside.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Message } from 'node-rdkafka';
import type { Logger } from 'pino';
import { subjectOf } from '../stream/event-key.ts';
import { isSampled, traceparentWith } from '../stream/trace.ts';
import type { CommittedBatch } from './group-session.ts';
import { rawRecord } from './rdkafka.ts';
import { reasonOf } from './reason.ts';
import type { Span } from './span-sender.ts';

/** Creates the spans of a process. */
export interface Tracing {
  /** Creates a span for each record of a sampled trace in a batch that `component` has committed. */
  readonly committed: (component: string, batch: CommittedBatch, writerOf: WriterOf) => void;
  /**
   * Runs `work` for a caller. If the caller's trace is sampled, it runs in its own span and gets the `traceparent` of that span;
   * otherwise it gets the caller's. A span whose work throws is marked as failed.
   */
  readonly request: <T>(
    name: string,
    traceparent: string | undefined,
    work: (traceparent: string | undefined) => Promise<T>,
  ) => Promise<T>;
  /** Sends the spans that still wait. */
  readonly stop: () => Promise<void>;
}

/** What tracing needs to know. */
export interface TracingOptions {
  /** OTEL_EXPORTER_OTLP_ENDPOINT; without one no span is made, and OpenTelemetry is not even loaded. */
  readonly endpoint: string | undefined;
  readonly log: Logger;
}

/** The processor that writes a topic; undefined for a topic that is written from outside. */
export type WriterOf = (topic: string) => string | undefined;

/** Makes no spans. */
export const untraced: Tracing = {
  committed: () => undefined,
  request: (_name, traceparent, work) => work(traceparent),
  stop: () => Promise.resolve(),
};

/** Tracing as configured. Returns at once; spans wait until OpenTelemetry is loaded. */
export function openTracing({ endpoint, log }: TracingOptions): Tracing {
  if (endpoint === undefined) return untraced;
  const sender = import('./span-sender.ts').then(({ openSpanSender }) => openSpanSender(endpoint, log));
  sender.catch((error: unknown) => log.error({ error: reasonOf(error) }, 'no spans can be sent'));
  const send = (span: Span) =>
    void sender.then(
      (ready) => ready.send(span),
      () => undefined,
    );
  return {
    committed(component, { messages, from, to }, writerOf) {
      for (const message of messages) {
        const span = spanOf(component, message, writerOf);
        if (span) send({ ...span, from, to });
      }
    },
    async request(name, traceparent, work) {
      if (traceparent === undefined || !isSampled(traceparent)) return work(traceparent);
      const from = Date.now();
      const spanId = randomBytes(8).toString('hex');
      const done = (error?: unknown) =>
        send({
          name,
          kind: 'server',
          traceparent,
          spanId,
          from,
          to: Date.now(),
          attributes: {},
          ...(error !== undefined && { error: reasonOf(error) }),
        });
      try {
        const result = await work(traceparentWith(traceparent, spanId));
        done();
        return result;
      } catch (error) {
        done(error);
        throw error;
      }
    },
    stop: () =>
      sender.then(
        (ready) => ready.stop(),
        () => undefined,
      ),
  };
}

function spanOf(component: string, message: Message, writerOf: WriterOf) {
  if (message.headers === undefined) return undefined;
  const { topic, partition, offset, key, traceparent } = rawRecord(message);
  if (traceparent === null || !isSampled(traceparent)) return undefined;
  const id = subjectOf(key?.toString() ?? '');
  const writer = writerOf(topic);
  return {
    name: component,
    kind: 'consumer',
    traceparent: writer === undefined ? traceparent : traceparentWith(traceparent, spanIdOf(traceparent, writer, id)),
    spanId: spanIdOf(traceparent, component, id),
    attributes: {
      'messaging.system': 'kafka',
      'messaging.destination.name': topic,
      'messaging.destination.partition.id': String(partition),
      'messaging.kafka.offset': offset,
      'messaging.kafka.message.key': key?.toString() ?? '',
    },
  } as const;
}

/** Every process computes the same id for the work of `component` on records about this subject in this trace. */
function spanIdOf(traceparent: string, component: string, subject: string): string {
  return createHash('sha256').update(`${traceparent} ${component} ${subject}`).digest('hex').slice(0, 16);
}
