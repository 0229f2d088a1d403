/** The statements of a projection: taking partitions over, and applying a batch with its offsets. */
import type { PoolClient } from 'pg';
import type { RawRecord } from '../stream/batch.ts';
import { foldBatch } from '../stream/projection.ts';
import type { FoldedRow, Folding, Projection } from '../stream/projection.ts';
import { copyInto, rowEncoder } from './copy-rows.ts';
import type { EncodedRows } from './copy-rows.ts';

/** A partition of a projection's topic that this process holds. */
export interface HeldPartition {
  readonly partition: number;
  readonly epoch: string;
  nextOffset: number;
}

/** Takes a partition over: the previous holder can no longer write. */
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

/** A partition and the offset that it is to move to. */
export interface Move {
  readonly position: HeldPartition;
  readonly offset: number;
}

/** Another process took the partition over, so this one may no longer write its rows. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
}

/** Kafka returns records from before the stored offset: the topic has lost records or was recreated. A new session does not help. */
export class LostRecords extends Error {
  override readonly name = 'LostRecords';
}

/** @throws LostRecords when `offset` is before the stored one: new records would be taken for old ones. */
export function mustNotGoBack(projection: Projection, { partition, nextOffset }: HeldPartition, offset: number): void {
  if (offset >= nextOffset) return;
  const { name, topic } = projection;
  throw new LostRecords(
    `${name} has stored everything before offset ${String(nextOffset)} of ${topic.name}/${String(partition)}, but Kafka returns records ` +
      `from offset ${String(offset)}: the topic has lost records, or was recreated. Refill the table from it: samvad rebuild ${name}`,
  );
}

/**
 * Moves stored offsets. A compare-and-set on epoch and offset: of two processes that believe they hold a partition, one
 * succeeds. @throws Fenced for the other.
 */
export async function advance(client: PoolClient, projection: Projection, moves: readonly Move[]): Promise<void> {
  const { rowCount } = await client.query(
    `UPDATE projection_offsets held SET next_offset = move.next_offset
       FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[]) AS move (partition, next_offset, epoch, before)
      WHERE held.projection = $1 AND held.topic = $2 AND held.partition = move.partition
        AND held.epoch = move.epoch AND held.next_offset = move.before`,
    [
      projection.name,
      projection.topic.name,
      moves.map(({ position }) => position.partition),
      moves.map(({ offset }) => offset),
      moves.map(({ position }) => position.epoch),
      moves.map(({ position }) => position.nextOffset),
    ],
  );
  if (rowCount !== moves.length)
    throw new Fenced(`A partition of ${projection.name} was taken over by another process or a rebuild.`);
}

/** The changes of a batch, encoded for Postgres. */
export interface EncodedBatch {
  /** One row for each key; undefined if there are none. */
  readonly upserts: EncodedRows | undefined;
  readonly deletes: readonly Delete[];
}

/** Deletes the rows with this key in this column that are older than the offset. */
export type Delete = Pick<FoldedRow<unknown>, 'column' | 'key' | 'offset'>;

/** Whether there is nothing to write. */
export function isEmpty({ upserts, deletes }: EncodedBatch): boolean {
  return upserts === undefined && deletes.length === 0;
}

/** Folds and encodes a batch. */
export function encodeBatch(
  projection: Projection,
  records: readonly RawRecord[],
  folding: Omit<Folding<unknown, number>, 'keep'>,
): EncodedBatch {
  const encoder = rowEncoder(Object.values(writtenColumns(projection)));
  const keep: Folding<unknown, number>['keep'] = (cells, { partition, offset }) =>
    encoder.add([...cells, partition, offset]);
  const folded = foldBatch(projection, records, { ...folding, keep });
  const kept = folded.flatMap(({ row }) => row ?? []);
  return {
    upserts: kept.length > 0 ? encoder.take(kept) : undefined,
    deletes: folded.flatMap(({ column, key, offset, row }) => (row === null ? { column, key, offset } : [])),
  };
}

/**
 * Copies the rows of a batch into a temporary table for `applyBatch`. Call it before any statement that takes locks: Postgres waits
 * without a limit for a client that is paused during a COPY.
 */
export async function sendBatch(client: PoolClient, projection: Projection, { upserts }: EncodedBatch): Promise<void> {
  if (!upserts) return;
  await client.query(incomingSql(projection));
  await copyInto(client, incoming(projection), Object.keys(writtenColumns(projection)), [upserts]);
}

/** Upserts the rows that `sendBatch` has copied, and deletes rows. A row from a later offset stays. */
export async function applyBatch(
  client: PoolClient,
  projection: Projection,
  { upserts, deletes }: EncodedBatch,
): Promise<void> {
  if (upserts) await client.query(upsertSql(projection));
  await deleteRows(client, projection, deletes);
}

async function deleteRows(client: PoolClient, projection: Projection, deletes: readonly Delete[]): Promise<void> {
  for (const column of deletingColumns(projection)) {
    const gone = deletes.filter((one) => one.column === column);
    if (gone.length === 0) continue;
    await client.query(deleteSql(projection, column, 'unnest($1::text[], $2::bigint[])'), [
      gone.map((one) => one.key),
      gone.map(({ offset }) => offset),
    ]);
  }
}

/** The columns by which a record may delete rows. */
export function deletingColumns({ key, forgets }: Projection): readonly string[] {
  return forgets ? [key, forgets.column] : [key];
}

/** SQL that deletes the rows whose `column` is a key in `gone` and whose offset is lower; `gone` has columns key and offset. */
export function deleteSql({ table }: Projection, column: string, gone: string): string {
  return `DELETE FROM ${table} t USING ${gone} AS gone (key, log_offset)
    WHERE t.${column} = gone.key AND t.log_offset < gone.log_offset`;
}

/** The columns that the projection writes, with those of the log position. */
export function writtenColumns(projection: Projection): Record<string, string> {
  return { ...projection.columns, log_partition: 'int', log_offset: 'bigint' };
}

/** Each projection has its own temporary table, because one connection serves all projections. */
function incoming({ name }: Projection): string {
  return `"incoming ${name}"`;
}

function incomingSql(projection: Projection): string {
  const columns = Object.entries(writtenColumns(projection)).map(([name, type]) => `${name} ${type}`);
  return `CREATE TEMP TABLE IF NOT EXISTS ${incoming(projection)} (${columns.join(', ')}) ON COMMIT DELETE ROWS`;
}

function upsertSql(projection: Projection): string {
  const names = Object.keys(writtenColumns(projection));
  const updates = names.filter((name) => name !== projection.key).map((name) => `${name} = excluded.${name}`);
  return `INSERT INTO ${projection.table} AS t (${names.join(', ')}) SELECT * FROM ${incoming(projection)}
    ON CONFLICT (${projection.key}) DO UPDATE SET ${updates.join(', ')} WHERE t.log_offset < excluded.log_offset`;
}
