/** Brings the local copy of a table up to the end of its compacted topic. */
import type { TopicPartitionOffset } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import { librdkafkaReaderConfig } from './kafka-clients.ts';
import { connectConsumer, consume, disconnect, patience } from './rdkafka.ts';
import type { StateStore } from './state-store.ts';
import type { Watermarks } from './watermarks.ts';

const BATCH = 5000;

/**
 * Reads what the table of `partition` misses. Waits for open transactions of a predecessor: they end by
 * commit, abort or their time-out. Returns the number of records read.
 * @throws Transient when the broker does not answer.
 */
export async function restoreTable(options: {
  readonly topic: string;
  readonly partition: number;
  readonly store: StateStore;
  readonly watermarks: Watermarks;
  readonly kafka: KafkaConfig;
  readonly clientId: string;
}): Promise<number> {
  const { topic, partition, store, watermarks, kafka, clientId } = options;
  const { low, high: end } = await watermarks.of(topic, partition);
  let from = store.restoredTo(partition);
  if (from > end) {
    store.reset(partition); // the topic was made anew
    from = 0;
  }
  if (from >= end) return 0;
  const consumer = await connectConsumer(librdkafkaReaderConfig(kafka, `${clientId}-restore`));
  let reached = from;
  let next = end;
  let records = 0;
  consumer.on('partition.eof', (met: TopicPartitionOffset) => (reached = Math.max(reached, met.offset)));
  try {
    consumer.assign([{ topic, partition, offset: Math.max(from, low) }]);
    const waited = patience(`restoring ${topic}`);
    while (reached < end) {
      const messages = await consume(consumer, BATCH);
      waited(messages.length);
      if (messages.length === 0) continue;
      records += messages.length;
      const behind = (messages.at(-1)?.offset ?? from) + 1;
      next = Math.max(next, behind);
      store.apply(
        partition,
        messages.map(({ key, value }) => [String(key), value] as const),
        behind,
      );
    }
    // What was read, and not what the end is now: another process may have taken over and written meanwhile.
    store.apply(partition, [], next);
    return records;
  } finally {
    consumer.unassign();
    await disconnect(consumer);
  }
}
