/** Brings the local copy of a table to the end of its compacted topic. */
import type { KafkaConfig } from '../config.ts';
import { readBatches } from './read-topic.ts';
import type { StateStore } from './state-store.ts';
import type { Watermarks } from './watermarks.ts';

const BATCH = 5000;

/**
 * Reads the records that the local table of `partition` lacks, and returns their number. Waits for open transactions of the
 * previous owner, which end by commit, abort or time-out.
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
  let records = 0;
  const range = { from: new Map([[partition, Math.max(from, low)]]), ends: new Map([[partition, end]]) };
  for await (const batch of readBatches(kafka, topic, BATCH, range)) {
    records += batch.length;
    store.apply(
      partition,
      batch.map(({ key, value }) => [String(key), value] as const),
      (batch.at(-1)?.offset ?? from) + 1,
    );
  }
  // The end as it was before reading: since then another process may have taken over and written.
  store.apply(partition, [], end);
  return records;
}
