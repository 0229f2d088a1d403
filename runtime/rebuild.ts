/**
 * Fills a table again from its topic, in one Postgres transaction: a failure leaves everything as it was.
 */
import type { Pool } from 'pg';
import type { KafkaConfig } from '../config.ts';
import type { RawRecord } from '../stream/batch.ts';
import { foldBatch } from '../stream/projection.ts';
import type { Projection } from '../stream/projection.ts';
import { Poison } from '../stream/poison.ts';
import type { Codec } from './codec.ts';
import { inTransaction } from './projection-runner.ts';
import { advance, applyRows, holdPartition } from './projection-store.ts';
import { readTopic, topicEnds } from './read-topic.ts';

const BATCH = 10_000;

/** What a rebuild needs. */
export interface RebuildOptions {
  readonly projection: Projection;
  readonly kafka: KafkaConfig;
  readonly codec: Codec<unknown>;
  readonly pool: Pool;
}

/**
 * Empties the projection's table and replays its topic into it. Runners of the projection are fenced, wait, and go on
 * from the new offsets by themselves. Returns the number of records read.
 */
export function rebuildProjection({ projection, kafka, codec, pool }: RebuildOptions): Promise<number> {
  return inTransaction(pool, async (client) => {
    // 1. Fence the live runners; the offset rows stay locked until the end.
    await client.query('UPDATE projection_offsets SET next_offset = 0 WHERE projection = $1', [projection.name]);
    await client.query(`TRUNCATE ${projection.table}`);
    // 2. Batch after batch, as a runner does. Poison went to the dead letters when it was first met.
    const ends = await topicEnds(kafka, projection.topic.name);
    const next = new Map(ends);
    let read = 0;
    let batch: RawRecord[] = [];
    const flush = async () => {
      await codec.prepare(batch.map(({ value }) => value));
      const rows = foldBatch(
        projection,
        batch,
        (bytes) => codec.decode(bytes),
        (_, error) => {
          if (!(error instanceof Poison)) throw error;
        },
      );
      await applyRows(client, projection, rows);
      for (const { partition, offset } of batch) next.set(partition, Math.max(next.get(partition) ?? 0, offset + 1));
      read += batch.length;
      batch = [];
    };
    for await (const record of readTopic(kafka, projection.topic.name, ends)) {
      batch.push(record);
      if (batch.length === BATCH) await flush();
    }
    await flush();
    // 3. The runners go on from here.
    for (const [partition, offset] of next)
      await advance(client, projection, await holdPartition(client, projection, partition), offset);
    return read;
  });
}

/** A digest of all rows and columns in key order: equal tables have equal digests. */
export async function digestTable(pool: Pool, { table, key }: Pick<Projection, 'table' | 'key'>): Promise<string> {
  const { rows } = await pool.query<{ digest: string }>(
    `SELECT md5(coalesce(string_agg(md5(t::text), '' ORDER BY ${key} COLLATE "C"), '')) AS digest FROM ${table} t`,
  );
  return rows[0]?.digest ?? '';
}
