/** A topic read from the start and kept up with, for those that need all of it and join no group. */
import type { KafkaConsumer, TopicPartitionOffset } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import type { RawRecord } from '../stream/batch.ts';
import { librdkafkaReaderConfig } from './kafka-clients.ts';
import { connectConsumer, consume, disconnect, patience, rawRecord } from './rdkafka.ts';
import { openWatermarks } from './watermarks.ts';

/** A reader that is at the end whenever `catchUp` has returned. */
export interface TopicView {
  /**
   * Hands every record whose commit was answered before the call to `onRecords`, in order within each partition. Waits for
   * open transactions. @throws Transient when nothing comes for half a minute.
   */
  catchUp(): Promise<void>;
  close(): Promise<void>;
}

/** What a view reads. */
export interface TopicViewOptions {
  readonly kafka: KafkaConfig;
  readonly topic: string;
  readonly partitions: number;
  /** First offsets to read, by partition; the beginning where absent. */
  readonly from?: ReadonlyMap<number, number>;
  readonly onRecords: (records: readonly RawRecord[]) => Promise<void>;
}

const BATCH = 1000;

/** Opens a view. @throws Transient when Kafka does not answer, there and in `catchUp`. */
export async function openTopicView(options: TopicViewOptions): Promise<TopicView> {
  const { kafka, topic, partitions, from, onRecords } = options;
  const numbers = Array.from({ length: partitions }, (_, partition) => partition);
  /** The offset to go on from, by partition: all before it was handed over. */
  const next = new Map(numbers.map((partition) => [partition, from?.get(partition) ?? 0]));
  // The end of a partition is a transaction's marker, which no record shows: only the end-of-partition event tells.
  const ends = new Map<number, number>();

  async function connect(): Promise<KafkaConsumer> {
    const connected = await connectConsumer(librdkafkaReaderConfig(kafka, 'samvad-view'));
    connected.on('partition.eof', ({ partition, offset }: TopicPartitionOffset) => ends.set(partition, offset));
    connected.assign([...next].map(([partition, offset]) => ({ topic, partition, offset })));
    return connected;
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
          if (messages.length > 0) await onRecords(messages.map(rawRecord));
          for (const { partition, offset } of messages) next.set(partition, offset + 1);
          for (const [partition, offset] of ends) next.set(partition, Math.max(offset, next.get(partition) ?? 0));
          ends.clear();
        }
      } catch (error) {
        await leave(); // an end of partition that comes along with an error is lost in node-rdkafka, and never told again
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
