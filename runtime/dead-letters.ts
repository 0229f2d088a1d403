/** Dead letters outside a processor's transaction: writing them for readers, listing and replaying them. */
import type { Producer } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import type { DeadLetter } from '../schemas/types.ts';
import type { RawRecord } from '../stream/batch.ts';
import { deadLetter } from '../stream/batch.ts';
import type { Poison } from '../stream/poison.ts';
import type { Topic } from '../stream/topic.ts';
import { librdkafkaConfig } from './kafka-clients.ts';
import { call, connectProducer, disconnect } from './rdkafka.ts';
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
          producer.produce(topic.name, null, value, raw.key, raw.timestamp);
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

/** Records sent before waiting for their acknowledgement; the client's queue holds 100,000. */
const REPLAY_CHUNK = 5000;

/** A dead letter and its own place. */
export interface PlacedDeadLetter extends DeadLetter {
  /** `partition/offset` in the dead-letters topic. */
  readonly id: string;
}

/** All dead letters that are kept, in partition and offset order. */
export async function listDeadLetters(
  kafka: KafkaConfig,
  codecs: Codecs,
  topic: Topic<DeadLetter>,
): Promise<PlacedDeadLetter[]> {
  const letters: PlacedDeadLetter[] = [];
  for await (const { partition, offset, value } of readTopic(kafka, topic.name)) {
    if (value) letters.push({ ...codecs.of(topic).decode(value), id: `${String(partition)}/${String(offset)}` });
  }
  return letters;
}

/** Sends the original bytes to the topic that they came from, for processing anew. Returns how many were sent. */
export async function replayDeadLetters(kafka: KafkaConfig, letters: readonly DeadLetter[]): Promise<number> {
  const producer = await connectProducer({
    ...librdkafkaConfig(kafka, 'dead-letters-replay'),
    'enable.idempotence': true,
  });
  try {
    for (let sent = 0; sent < letters.length; sent += REPLAY_CHUNK) {
      for (const { topic, key, value } of letters.slice(sent, sent + REPLAY_CHUNK))
        producer.produce(topic, null, value, key);
      await call('replaying dead letters', (done) => producer.flush(30_000, (error) => done(error, undefined)));
    }
    return letters.length;
  } finally {
    await disconnect(producer);
  }
}
