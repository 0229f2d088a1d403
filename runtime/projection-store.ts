/** The statements of a projection: taking partitions over, and applying a batch with its offsets. */
import type { PoolClient } from 'pg';
import type { FoldedRow, Projection } from '../stream/projection.ts';
import { Fenced } from './state-store.ts';

/** A partition of a projection's topic, as this process holds it. */
export interface HeldPartition {
  readonly partition: number;
  readonly epoch: string;
  nextOffset: number;
}

/** Takes a partition over: whoever held it can't write any more. */
export async function holdPartition(
  client: PoolClient,
  projection: Projection,
  partition: number,
): Promise<HeldPartition> {
  const { rows } = await client.query<{ epoch: string; next_offset: string }>(
    `INSERT INTO projection_offsets (projection, topic, partition, next_offset, epoch) VALUES ($1, $2, $3, 0, 1)
     ON CONFLICT (projection, topic, partition) DO UPDATE SET epoch = projection_offsets.epoch + 1
     RETURNING epoch, next_offset`,
    [projection.name, projection.topic.name, partition],
  );
  return { partition, epoch: rows[0]?.epoch ?? '0', nextOffset: Number(rows[0]?.next_offset) };
}

/**
 * Moves the stored offset. A compare-and-set on epoch and offset: of two processes that believe they hold the
 * partition, one succeeds. @throws Fenced for the other.
 */
export async function advance(
  client: PoolClient,
  projection: Projection,
  held: HeldPartition,
  nextOffset: number,
): Promise<void> {
  const { rowCount } = await client.query(
    `UPDATE projection_offsets SET next_offset = $4 WHERE projection = $1 AND topic = $2 AND partition = $3 AND epoch = $5 AND next_offset = $6`,
    [projection.name, projection.topic.name, held.partition, nextOffset, held.epoch, held.nextOffset],
  );
  if (rowCount !== 1)
    throw new Fenced(
      `Partition ${String(held.partition)} of ${projection.name} was taken over by another process or a rebuild.`,
    );
}

/** Upserts and deletes the rows of a batch. A row that is there from a later offset stays. */
export async function applyRows(client: PoolClient, projection: Projection, rows: readonly FoldedRow[]): Promise<void> {
  const upserts = rows.filter(({ cells }) => cells !== null);
  const deletes = rows.filter(({ cells }) => cells === null);
  if (upserts.length > 0) await client.query(upsertSql(projection), columnArrays(projection, upserts));
  if (deletes.length > 0) {
    await client.query(
      `DELETE FROM ${projection.table} t USING unnest($1::text[], $2::bigint[]) AS gone (key, log_offset)
        WHERE t.${projection.key} = gone.key AND t.log_offset < gone.log_offset`,
      [deletes.map(({ key }) => key), deletes.map(({ offset }) => offset)],
    );
  }
}

/** The columns of the table that the projection writes, with the log position. */
export function writtenColumns(projection: Projection): Record<string, string> {
  return { ...projection.columns, log_partition: 'int', log_offset: 'bigint' };
}

function upsertSql(projection: Projection): string {
  const columns = Object.entries(writtenColumns(projection));
  const names = columns.map(([name]) => name);
  const arrays = columns.map(([, type], i) => `$${String(i + 1)}::${type}[]`);
  const updates = names.filter((name) => name !== projection.key).map((name) => `${name} = excluded.${name}`);
  return `INSERT INTO ${projection.table} AS t (${names.join(', ')}) SELECT * FROM unnest(${arrays.join(', ')})
    ON CONFLICT (${projection.key}) DO UPDATE SET ${updates.join(', ')} WHERE t.log_offset < excluded.log_offset`;
}

function columnArrays(projection: Projection, rows: readonly FoldedRow[]): unknown[][] {
  const own = Object.keys(projection.columns).map((_, i) => rows.map(({ cells }) => cells?.[i] ?? null));
  return [...own, rows.map(({ partition }) => partition), rows.map(({ offset }) => offset)];
}
