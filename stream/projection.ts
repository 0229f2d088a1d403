/** A projection as a value: a topic, a Postgres table, and the row that each record stands for. No I/O. */
import type { RawRecord } from './batch.ts';
import type { Topic } from './topic.ts';

/** A value that a column can hold. JSON is its text, a point in time its milliseconds since 1970. */
export type Cell = string | number | boolean | null;

/** A projection. The columns `log_partition` and `log_offset` are added to each row by the runner. */
export interface Projection<V = unknown> {
  /** Name of its file, consumer group, metrics label and CLI argument. */
  readonly name: string;
  readonly topic: Topic<V>;
  readonly table: string;
  /** Column that holds the record key, or what `keyOf` gives. */
  readonly key: string;
  /** The row that a record is about, where it is not the record key: for tables with a row for each event. */
  keyOf?(value: V, offset: number): string;
  /** Whether the table is about this record at all; others are passed over. */
  about?(value: V): boolean;
  /** Column name → Postgres type; the key's among them. */
  readonly columns: Readonly<Record<string, string>>;
  /** The cells of the record's row in the order of `columns`, or null when the row is to go. */
  row(value: V, offset: number): readonly Cell[] | null;
}

/** The latest row of each key in a batch; null where it is to go. */
export interface FoldedRow {
  readonly key: string;
  readonly partition: number;
  readonly offset: number;
  readonly cells: readonly Cell[] | null;
}

/** Folds a batch to one row a key. `decode` may throw Poison; `onPoison` then gets the record. */
export function foldBatch<V>(
  projection: Projection<V>,
  records: readonly RawRecord[],
  decode: (bytes: Buffer) => V,
  onPoison: (record: RawRecord, error: unknown) => void,
): FoldedRow[] {
  const rows = new Map<string, FoldedRow>();
  for (const record of records) {
    const recordKey = record.key?.toString() ?? '';
    try {
      const value = record.value === null ? undefined : decode(record.value);
      if (value !== undefined && projection.about?.(value) === false) continue;
      const cells = value === undefined ? null : (projection.row(value, record.offset)?.map(storable) ?? null);
      const key = storable(
        value === undefined ? recordKey : (projection.keyOf?.(value, record.offset) ?? recordKey),
      ) as string;
      rows.set(key, { key, partition: record.partition, offset: record.offset, cells });
    } catch (error) {
      onPoison(record, error);
    }
  }
  return [...rows.values()];
}

/** Postgres text holds no NUL; it becomes the replacement character, as any reader would show it. */
function storable(cell: Cell): Cell {
  // Looking first is several times faster than replacing nothing.
  if (typeof cell !== 'string' || !(cell.includes('\u0000') || cell.includes('\\u0000'))) return cell;
  return cell.replaceAll('\u0000', '\ufffd').replaceAll('\\u0000', '\ufffd');
}

/** Milliseconds since 1970 as a cell of a timestamptz column. */
export function timestamp(ms: number): Cell {
  return ms;
}

/** An Avro enum symbol as the tables spell it: `auto_approved` is `auto-approved` there. */
export function symbol(name: string): string {
  return name.replaceAll('_', '-');
}
