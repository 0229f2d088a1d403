/**
 * Refills a table from its topic, in one Postgres transaction: a failure leaves everything as it was.
 */
import type { Pool, PoolClient } from 'pg';
import type { KafkaConfig } from '../config.ts';
import { at } from '../stream/place.ts';
import type { Projection } from '../stream/projection.ts';
import type { Codec } from './codec.ts';
import { mayPass } from './may-pass.ts';
import { inTransaction } from './postgres-pool.ts';
import { copyInto, rowEncoder } from './copy-rows.ts';
import type { EncodedRows } from './copy-rows.ts';
import { advance, deleteSql, deletingColumns, encodeBatch, holdPartition, writtenColumns } from './projection-store.ts';
import type { Delete, EncodedBatch } from './projection-store.ts';
import { readBatches, topicEnds } from './read-topic.ts';

const BATCH = 10_000;
/** Deletions are copied to the database once memory holds this many; one batch may exceed it. */
const MAX_GONE = 100_000;

/** What a rebuild needs. */
export interface RebuildOptions {
  readonly projection: Projection;
  readonly kafka: KafkaConfig;
  readonly codec: Codec<unknown>;
  readonly pool: Pool;
}

/**
 * Empties the projection's table and replays its topic into it. Runners of the projection are fenced, wait, and continue
 * from the new offsets by themselves. Returns the number of records read.
 */
export function rebuildProjection(options: RebuildOptions): Promise<number> {
  const { projection, kafka, pool } = options;
  const { table, name, topic } = projection;
  return unhurried(pool, async (client) => {
    // 1. Fence the live runners; the offset rows stay locked until the end.
    await client.query('UPDATE projection_offsets SET next_offset = 0 WHERE projection = $1', [name]);
    await client.query(`TRUNCATE ${table}`);
    // 2. Without indexes COPY takes each record as a row, outdated ones too.
    const indexes = await dropIndexes(client, table);
    const ends = await topicEnds(kafka, topic.name);
    const read = { records: 0 };
    await copyTopic(client, projection, encodedTopic(options, ends, read)).catch((error: unknown) => {
      throw mayPass(error) ? error : at(`${name}, rows from ${topic.name}`, error);
    });
    // 3. The latest row of each key stays, unless the key was deleted after it.
    await dropOutdated(client, projection);
    for (const statement of indexes) await client.query(statement);
    // 4. The runners continue from here.
    for (const [partition, offset] of ends) {
      const position = await holdPartition(client, projection, partition);
      await advance(client, projection, [{ position, offset }]);
    }
    return read.records;
  });
}

/** Runs `work` in a transaction without the statement time-out that the database user may have. */
function unhurried<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  return inTransaction(pool, async (client) => {
    await client.query('SET LOCAL statement_timeout = 0');
    return work(client);
  });
}

/** The topic up to `ends`, one batch at a time. */
async function* encodedTopic(
  { projection, kafka, codec }: RebuildOptions,
  ends: ReadonlyMap<number, number>,
  read: { records: number },
): AsyncGenerator<EncodedBatch, undefined> {
  for await (const batch of readBatches(kafka, projection.topic.name, BATCH, { ends })) {
    await codec.prepare(batch.map(({ value }) => value));
    const encoded = encodeBatch(projection, batch, {
      decode: (bytes) => codec.decode(bytes),
      onPoison: () => undefined, // it went to the dead letters when it was first read
    });
    read.records += batch.length;
    yield encoded;
  }
}

/** Copies the rows into the table, and the deletions, which may exceed memory, into a temporary table. */
async function copyTopic(
  client: PoolClient,
  projection: Projection,
  batches: AsyncGenerator<EncodedBatch, undefined>,
): Promise<void> {
  await client.query('CREATE TEMP TABLE gone (of_column text, key text, log_offset bigint) ON COMMIT DROP');
  let batch = (await batches.next()).value;
  let gone: Delete[] = [];
  async function* rows(): AsyncGenerator<EncodedRows> {
    for (; batch && gone.length < MAX_GONE; batch = (await batches.next()).value) {
      for (const one of batch.deletes) gone.push(one);
      if (batch.upserts) yield batch.upserts;
    }
  }
  try {
    while (batch) {
      await copyInto(client, projection.table, Object.keys(writtenColumns(projection)), rows());
      const encoder = rowEncoder(['text', 'text', 'bigint']);
      const numbers = gone.map(({ column, key, offset }) => encoder.add([column, key, offset]));
      await copyInto(client, 'gone', ['of_column', 'key', 'log_offset'], [encoder.take(numbers)]);
      gone = [];
    }
  } finally {
    await batches.return(undefined); // a failed COPY leaves the generator open
  }
}

/**
 * Drops the indexes and constraints of `table`. Returns the statements that create them again, constraints first.
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
async function dropOutdated(client: PoolClient, projection: Projection): Promise<void> {
  const { table, key } = projection;
  await client.query(
    `DELETE FROM ${table} t USING (
       SELECT ${key} AS key, max(log_offset) AS latest FROM ${table} GROUP BY 1 HAVING count(*) > 1
     ) twice WHERE t.${key} = twice.key AND t.log_offset < twice.latest`,
  );
  for (const column of deletingColumns(projection))
    await client.query(
      deleteSql(projection, column, `(SELECT key, log_offset FROM gone WHERE of_column = '${column}')`),
    );
}

/**
 * A digest of all rows and columns, independent of the order of rows: equal tables have equal digests. It sums the halves of the rows'
 * hashes, because a text of all hashes would limit the size of the table: Postgres allows at most 1 GB for it.
 */
export async function digestTable(pool: Pool, { table }: Pick<Projection, 'table'>): Promise<string> {
  const half = (side: 'left' | 'right') => `sum(('x' || ${side}(hash, 16))::bit(64)::bigint)`;
  const { rows } = await unhurried(pool, (client) =>
    client.query<{ digest: string }>(
      `SELECT md5(concat_ws(' ', count(*), ${half('left')}, ${half('right')})) AS digest
       FROM (SELECT md5(t::text) AS hash FROM ${table} t) AS hashes`,
    ),
  );
  return rows[0]?.digest ?? '';
}
