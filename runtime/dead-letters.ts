/** Dead letters outside a processor's transaction: writing them for readers, listing and replaying them. */
import type { Producer } from 'node-rdkafka';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import type { DeadLetter } from '../schemas/types.ts';
import type { Poisoned, RawRecord } from '../stream/batch.ts';
import { deadLetter } from '../stream/batch.ts';
import type { Poison } from '../stream/poison.ts';
import type { Topic } from '../stream/topic.ts';
import { librdkafkaConfig } from './kafka-clients.ts';
import { traceFields } from './log.ts';
import { call, connectProducer, disconnect, headersOf } from './rdkafka.ts';
import { readTopic } from './read-topic.ts';
import type { Codecs } from './schema-registry.ts';

/** Writes dead letters for components that only read. At least once: a reader that fails after it writes again. */
export interface DeadLetterWriter {
  write(component: string, raw: RawRecord, poison: Poison): Promise<void>;
  close(): Promise<void>;
}

/** A writer to `topic`, which connects with the first letter. @throws Transient when a letter can't be written now. */
export function deadLetterWriter(kafka: KafkaConfig, codecs: Codecs, topic: Topic<DeadLetter>): DeadLetterWriter {
  let connecting: Promise<Producer> | undefined;
  const connect = () => {
    connecting ??= connectProducer({
      ...librdkafkaConfig(kafka, 'dead-letters'),
      'enable.idempotence': true,
      'message.max.bytes': 4 * 1024 * 1024,
    });
    connecting.catch(() => (connecting = undefined));
    return connecting;
  };
  async function close(): Promise<void> {
    const producer = await connecting?.catch(() => undefined);
    connecting = undefined;
    if (producer) await disconnect(producer);
  }
  return {
    async write(component, raw, poison) {
      const producer = await connect();
      const value = codecs.of(topic).encode(deadLetter(component, raw, poison));
      try {
        await call('writing a dead letter', (done) => {
          producer.produce(topic.name, null, value, raw.key, raw.timestamp, undefined, headersOf(raw.traceparent));
          producer.flush(10_000, (error) => done(error, undefined));
        });
      } catch (error) {
        await close(); // after an unknown outcome only a new producer is of use
        throw error;
      }
    },
    close,
  };
}

/** Dead letters of a batch that are logged one by one: a broken producer must not fill the disk of the log. */
const MAX_LOGGED = 20;
/** An id has 200 UTF-16 code units at most. */
const MAX_LOGGED_KEY_BYTES = 600;

/** Logs records that became dead letters: where each stood, its key under what `topics` say that it is, and its trace. */
export function logPoisoned(log: Logger, topics: readonly Topic[], poisoned: readonly Poisoned[]): void {
  for (const [{ topic, partition, offset, key, traceparent }, { code }] of poisoned.slice(0, MAX_LOGGED)) {
    const keyName = topics.find(({ name }) => name === topic)?.key.replaceAll(/\W+/g, '_') ?? 'key';
    const about = { [keyName]: key?.toString('utf8', 0, MAX_LOGGED_KEY_BYTES) ?? null, ...traceFields(traceparent) };
    log.warn({ code, topic, partition, offset, ...about }, 'dead letter');
  }
  if (poisoned.length > MAX_LOGGED) log.warn({ more: poisoned.length - MAX_LOGGED }, 'and more dead letters');
}

/** Records sent before waiting for their acknowledgement; the client's queue holds 100,000. */
const REPLAY_CHUNK = 5000;

/** A dead letter and its own place. */
export interface PlacedDeadLetter extends DeadLetter {
  /** `partition/offset` in the dead-letters topic. */
  readonly id: string;
  /** The trace of the record, if it had one. */
  readonly traceparent: string | null;
}

/** All dead letters that are kept, in partition and offset order. */
export async function listDeadLetters(
  kafka: KafkaConfig,
  codecs: Codecs,
  topic: Topic<DeadLetter>,
): Promise<PlacedDeadLetter[]> {
  const letters: PlacedDeadLetter[] = [];
  for await (const { partition, offset, value, traceparent } of readTopic(kafka, topic.name)) {
    if (value)
      letters.push({ ...codecs.of(topic).decode(value), id: `${String(partition)}/${String(offset)}`, traceparent });
  }
  return letters;
}

/** Sends the original bytes to the topic that they came from, for processing anew, in their trace. Returns how many were sent. */
export async function replayDeadLetters(kafka: KafkaConfig, letters: readonly PlacedDeadLetter[]): Promise<number> {
  const producer = await connectProducer({
    ...librdkafkaConfig(kafka, 'dead-letters-replay'),
    'enable.idempotence': true,
  });
  try {
    for (let sent = 0; sent < letters.length; sent += REPLAY_CHUNK) {
      for (const { topic, key, value, traceparent } of letters.slice(sent, sent + REPLAY_CHUNK))
        producer.produce(topic, null, value, key, undefined, undefined, headersOf(traceparent));
      await call('replaying dead letters', (done) => producer.flush(30_000, (error) => done(error, undefined)));
    }
    return letters.length;
  } finally {
    await disconnect(producer);
  }
}
