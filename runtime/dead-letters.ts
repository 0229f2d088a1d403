/** Dead letters outside a processor's transaction: writing them for readers, listing and replaying them. */
import type { Producer } from 'node-rdkafka';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import type { DeadLetter } from '../schemas/types.ts';
import type { Poisoned, RawRecord } from '../stream/batch.ts';
import { deadLetter } from '../stream/batch.ts';
import { subjectOf } from '../stream/event-key.ts';
import type { Poison } from '../stream/poison.ts';
import type { Topic } from '../stream/topic.ts';
import { fencedWrite } from './fenced-write.ts';
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

/** Logs records that became dead letters: where each stood, what its key is about under what `topics` call it, and its trace. */
export function logPoisoned(log: Logger, topics: readonly Topic[], poisoned: readonly Poisoned[]): void {
  for (const [{ topic, partition, offset, key, traceparent }, { code }] of poisoned.slice(0, MAX_LOGGED)) {
    const keyName = topics.find(({ name }) => name === topic)?.key.replaceAll(/\W+/g, '_') ?? 'key';
    const subject = key && subjectOf(key.toString('utf8', 0, MAX_LOGGED_KEY_BYTES));
    const about = { [keyName]: subject, ...traceFields(traceparent) };
    log.warn({ code, topic, partition, offset, ...about }, 'dead letter');
  }
  if (poisoned.length > MAX_LOGGED) log.warn({ more: poisoned.length - MAX_LOGGED }, 'and more dead letters');
}

/** Letters of a transaction. */
const REPLAY_CHUNK = 1000;
/** Letters are sent again under this id, by one process at a time. */
export const REPLAY_ID = 'samvad-dead-letters';

/** A dead letter and its own place. */
export interface PlacedDeadLetter extends DeadLetter {
  /** `partition/offset` in the dead-letters topic. */
  readonly id: string;
  /** The trace of the record, if it had one. */
  readonly traceparent: string | null;
}

/** What is sent in a letter's place: its own bytes, or those that a person has corrected. */
export interface Resend {
  readonly letter: PlacedDeadLetter;
  readonly corrected?: { readonly key: string; readonly value: Buffer };
}

/** All dead letters that are kept, in partition and offset order; `replayed` tells of those that were sent again. */
export async function listDeadLetters(
  kafka: KafkaConfig,
  codecs: Codecs,
  topic: Topic<DeadLetter>,
): Promise<PlacedDeadLetter[]> {
  const codec = codecs.of(topic);
  await codec.prepareAll();
  const letters = new Map<string, PlacedDeadLetter>();
  for await (const { partition, offset, value, traceparent } of readTopic(kafka, topic.name)) {
    if (!value) continue;
    const letter = codec.decode(value);
    if (letter.replayed === null)
      letters.set(`${partition}/${offset}`, { ...letter, id: `${partition}/${offset}`, traceparent });
    else {
      // A mark stands behind its letter, in the same partition: the letter goes first when their time is over.
      const { id } = letter.replayed;
      const marked = letters.get(id);
      if (marked) letters.set(id, { ...marked, replayed: letter.replayed });
    }
  }
  return [...letters.values()];
}

/**
 * Sends letters again, each once: the bytes go to the topic that they came from, in their trace, and a mark behind the letter, in one
 * transaction that no other replay overlaps. Letters that were sent meanwhile are passed over. Returns how many were sent.
 * @throws Transient when Kafka does not answer, or another replay came in between; what was sent by then is marked.
 */
export async function replayDeadLetters(
  { kafka, codecs, topic }: { readonly kafka: KafkaConfig; readonly codecs: Codecs; readonly topic: Topic<DeadLetter> },
  resends: readonly Resend[],
  { by, at }: { readonly by: string; readonly at: number },
): Promise<number> {
  let sent = 0;
  for (let from = 0; from < resends.length; from += REPLAY_CHUNK) {
    const chunk = resends.slice(from, from + REPLAY_CHUNK);
    let open: readonly Resend[] = [];
    await fencedWrite(kafka, REPLAY_ID, async () => {
      const waiting = new Set(
        (await listDeadLetters(kafka, codecs, topic)).filter(({ replayed }) => replayed === null).map(({ id }) => id),
      );
      open = chunk.filter(({ letter }) => waiting.has(letter.id));
      return open.flatMap(({ letter, corrected }) => [
        {
          topic: letter.topic,
          partition: null,
          timestamp: at,
          traceparent: letter.traceparent,
          ...(corrected ?? { key: letter.key, value: letter.value }),
        },
        {
          topic: topic.name,
          partition: Number(letter.id.split('/')[0]),
          key: letter.key,
          value: codecs.of(topic).encode(markOf(letter, { by, at, corrected: corrected !== undefined })),
          timestamp: at,
        },
      ]);
    });
    sent += open.length;
  }
  return sent;
}

function markOf(
  letter: PlacedDeadLetter,
  told: { readonly by: string; readonly at: number; readonly corrected: boolean },
): DeadLetter {
  const { code, message, component, topic, partition, offset, timestamp, id } = letter;
  return {
    ...{ code, message, component, topic, partition, offset, timestamp, key: null, value: null },
    replayed: { id, ...told },
  };
}
