/**
 * Fills a table again from its topic, in one Postgres transaction: a failure leaves everything as it was.
 */
import type { Pool, PoolClient } from 'pg';
import type { KafkaConfig } from '../config.ts';
import type { Projection } from '../stream/projection.ts';
import { Poison } from '../stream/poison.ts';
import type { Codec } from './codec.ts';
import { inTransaction } from './projection-runner.ts';
import { copyInto } from './copy-rows.ts';
import type { EncodedRows } from './copy-rows.ts';
import { advance, deleteRows, encodeBatch, holdPartition, writtenColumns } from './projection-store.ts';
import type { Delete } from './projection-store.ts';
import { readBatches, topicEnds } from './read-topic.ts';

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
export function rebuildProjection(options: RebuildOptions): Promise<number> {
  const { projection, kafka, pool } = options;
  const { table, name, topic } = projection;
  return inTransaction(pool, async (client) => {
    // 1. Fence the live runners; the offset rows stay locked until the end.
    await client.query('UPDATE projection_offsets SET next_offset = 0 WHERE projection = $1', [name]);
    await client.query(`TRUNCATE ${table}`);
    // 2. Without indexes COPY takes each record as a row, outdated ones too.
    const indexes = await dropIndexes(client, table);
    const ends = await topicEnds(kafka, topic.name);
    const next = new Map(ends);
    const gone: Delete[] = [];
    const read = { records: 0 };
    await copyInto(
      client,
      table,
      Object.keys(writtenColumns(projection)),
      encodedTopic(options, ends, next, gone, read),
    );
    // 3. The latest row of each key stays, unless the key was deleted after it.
    await dropOutdated(client, projection, gone);
    for (const statement of indexes) await client.query(statement);
    // 4. The runners go on from here.
    for (const [partition, offset] of next) {
      const position = await holdPartition(client, projection, partition);
      await advance(client, projection, [{ position, offset }]);
    }
    return read.records;
  });
}

/** The topic as rows, a batch at a time; deletions go to `gone`, positions to `next`. */
async function* encodedTopic(
  { projection, kafka, codec }: RebuildOptions,
  ends: ReadonlyMap<number, number>,
  next: Map<number, number>,
  gone: Delete[],
  read: { records: number },
): AsyncGenerator<EncodedRows> {
  for await (const batch of readBatches(kafka, projection.topic.name, BATCH, ends)) {
    await codec.prepare(batch.map(({ value }) => value));
    const { upserts, deletes } = encodeBatch(projection, batch, {
      decode: (bytes) => codec.decode(bytes),
      onPoison(_, error) {
        if (!(error instanceof Poison)) throw error; // poison went to the dead letters when it was first met
      },
    });
    for (const { partition, offset } of batch) next.set(partition, Math.max(next.get(partition) ?? 0, offset + 1));
    read.records += batch.length;
    for (const one of deletes) gone.push(one);
    if (upserts) yield upserts;
  }
}

/**
 * Drops the indexes of `table`, those of its constraints too. Returns the statements that make them again, the
 * constraints first.
 */
async function dropIndexes(client: PoolClient, table: string): Promise<string[]> {
  const constraints = await client.query<{ name: string; definition: string }>(
    `SELECT quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
      WHERE conrelid = $1::regclass AND contype IN ('p', 'u', 'x') ORDER BY contype, conname`,
    [table],
  );
  for (const { name } of constraints.rows) await client.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
  const indexes = await client.query<{ name: string; definition: string }>(
    `SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
      WHERE indrelid = $1::regclass ORDER BY 1`,
    [table],
  );
  for (const { name } of indexes.rows) await client.query(`DROP INDEX ${name}`);
  return [
    ...constraints.rows.map(({ name, definition }) => `ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition}`),
    ...indexes.rows.map(({ definition }) => definition),
  ];
}

/** All records of a key are in one partition, so that the highest offset is the latest. */
async function dropOutdated(client: PoolClient, projection: Projection, gone: readonly Delete[]): Promise<void> {
  const { table, key } = projection;
  await client.query(
    `DELETE FROM ${table} t USING (
       SELECT ${key} AS key, max(log_offset) AS latest FROM ${table} GROUP BY 1 HAVING count(*) > 1
     ) twice WHERE t.${key} = twice.key AND t.log_offset < twice.latest`,
  );
  await deleteRows(client, projection, gone);
}

/** A digest of all rows and columns in key order: equal tables have equal digests. */
export async function digestTable(pool: Pool, { table, key }: Pick<Projection, 'table' | 'key'>): Promise<string> {
  const { rows } = await pool.query<{ digest: string }>(
    `SELECT md5(coalesce(string_agg(md5(t::text), '' ORDER BY ${key} COLLATE "C"), '')) AS digest FROM ${table} t`,
  );
  return rows[0]?.digest ?? '';
}
