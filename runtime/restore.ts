/** Brings the local copy of a table up to the end of its compacted topic. */
import type { KafkaConfig } from '../config.ts';
import { readBatches } from './read-topic.ts';
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
}): Promise<number> {
  const { topic, partition, store, watermarks, kafka } = options;
  const { low, high: end } = await watermarks.of(topic, partition);
  const from = store.restoredTo(partition, end);
  if (from >= end) return 0;
  let next = end;
  let records = 0;
  const [ends, start] = [new Map([[partition, end]]), new Map([[partition, Math.max(from, low)]])];
  for await (const batch of readBatches(kafka, topic, BATCH, ends, start)) {
    records += batch.length;
    const behind = (batch.at(-1)?.offset ?? from) + 1;
    next = Math.max(next, behind);
    store.apply(
      partition,
      batch.map(({ key, value }) => [String(key), value] as const),
      behind,
    );
  }
  // What was read, and not what the end is now: another process may have taken over and written meanwhile.
  store.apply(partition, [], next);
  return records;
}
