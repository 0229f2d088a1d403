/** Follows a whole topic from its start, for readers that join no group. */
import type { KafkaConsumer, Message, TopicPartitionOffset } from 'node-rdkafka';
import type { Topic } from '../stream/topic.ts';
import { librdkafkaReaderConfig } from './kafka-clients.ts';
import { connectConsumer, consume, disconnect, patience, rawRecord } from './rdkafka.ts';
import { decodeRecords } from './read-topic.ts';
import type { Source, TopicRecord } from './read-topic.ts';
import { openWatermarks } from './watermarks.ts';

/** A reader that has reached the end of its topic each time `catchUp` returns. */
export interface TopicView {
  /**
   * Hands every record that was committed before the call to `onRecords`, in order within each partition, decoded as `decodeRecords` does.
   * Waits for open transactions. @throws Transient when records are missing and nothing arrives for half a minute. @throws Poison
   */
  catchUp(): Promise<void>;
  close(): Promise<void>;
}

/** What a view reads. */
export interface ViewOptions<V> {
  /** Reads partitions 0 to `partitions` - 1. */
  readonly partitions: number;
  /** First offsets to read; a missing partition is read from its beginning. */
  readonly from?: ReadonlyMap<number, number>;
  readonly onRecords: (records: readonly TopicRecord<V>[]) => void;
}

const BATCH = 1000;
/**
 * How long the broker may hold a request while there is nothing new. A view asks all day: with the 10 ms of short reads, the views of an idle
 * `samvad up` cost its broker 0.09 of a core.
 */
const FETCH_WAIT_MS = 100;

/** Opens a view of `topic`. @throws Transient when Kafka does not answer, as `catchUp` does. */
export async function openView<V>(
  { kafka, codecs }: Source,
  typedTopic: Topic<V>,
  { partitions, from, onRecords }: ViewOptions<V>,
): Promise<TopicView> {
  const topic = typedTopic.name;
  const codec = codecs.of(typedTopic);
  const numbers = Array.from({ length: partitions }, (_, partition) => partition);
  /** The next offset of each partition: every record before it was handed to `onRecords`. */
  const next = new Map(numbers.map((partition) => [partition, from?.get(partition) ?? 0]));
  // Often a transaction marker precedes the end. No record shows it, only the end-of-partition event.
  const ends = new Map<number, number>();

  async function connect(): Promise<KafkaConsumer> {
    const connected = await connectConsumer({
      ...librdkafkaReaderConfig(kafka, 'samvad-view'),
      'fetch.wait.max.ms': FETCH_WAIT_MS,
    });
    connected.on('partition.eof', ({ partition, offset }: TopicPartitionOffset) => ends.set(partition, offset));
    connected.assign([...next].map(([partition, offset]) => ({ topic, partition, offset })));
    return connected;
  }

  async function take(messages: readonly Message[]): Promise<void> {
    await codec.prepare(messages.map(({ value }) => value));
    onRecords([...decodeRecords(codecs, typedTopic, messages.map(rawRecord))]);
  }

  async function leave(): Promise<void> {
    const left = consumer;
    consumer = undefined;
    left?.unassign();
    if (left) await disconnect(left);
  }

  const watermarks = await openWatermarks(kafka, 'samvad-view');
  let consumer: KafkaConsumer | undefined = await connect().catch(async (error: unknown) => {
    await watermarks.close();
    throw error;
  });
  return {
    async catchUp() {
      const highs = await Promise.all(numbers.map(async (p) => [p, (await watermarks.of(topic, p)).high] as const));
      const waited = patience(`reading ${topic}`);
      try {
        consumer ??= await connect();
        while (highs.some(([partition, high]) => (next.get(partition) ?? 0) < high)) {
          const messages = await consume(consumer, BATCH);
          waited(messages.length);
          if (messages.length > 0) await take(messages);
          for (const { partition, offset } of messages) next.set(partition, offset + 1);
          for (const [partition, offset] of ends) next.set(partition, Math.max(offset, next.get(partition) ?? 0));
          ends.clear();
        }
      } catch (error) {
        await leave(); // node-rdkafka drops an end-of-partition event that arrives together with an error
        ends.clear();
        throw error;
      }
    },
    async close() {
      await leave();
      await watermarks.close();
    },
  };
}
