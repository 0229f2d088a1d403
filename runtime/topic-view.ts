/** A topic read from the start and kept up with, for those that need all of it and join no group. */
import type { TopicPartitionOffset } from 'node-rdkafka';
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
  const watermarks = await openWatermarks(kafka, 'samvad-view');
  const consumer = await connectConsumer(librdkafkaReaderConfig(kafka, 'samvad-view')).catch(async (error: unknown) => {
    await watermarks.close();
    throw error;
  });
  const reached = new Map<number, number>();
  const numbers = Array.from({ length: partitions }, (_, partition) => partition);
  // The end of a partition is a transaction's marker, which no record shows: only the end-of-partition event tells.
  consumer.on('partition.eof', ({ partition, offset }: TopicPartitionOffset) => reached.set(partition, offset));
  consumer.assign(numbers.map((partition) => ({ topic, partition, offset: from?.get(partition) ?? 0 })));
  return {
    async catchUp() {
      const ends = new Map<number, number>();
      for (const partition of numbers) ends.set(partition, (await watermarks.of(topic, partition)).high);
      const behind = () => numbers.some((p) => (reached.get(p) ?? from?.get(p) ?? 0) < (ends.get(p) ?? 0));
      const waited = patience(`reading ${topic}`);
      while (behind()) {
        const messages = await consume(consumer, BATCH);
        waited(messages.length);
        if (messages.length > 0) await onRecords(messages.map(rawRecord));
      }
    },
    async close() {
      consumer.unassign();
      await disconnect(consumer);
      await watermarks.close();
    },
  };
}
