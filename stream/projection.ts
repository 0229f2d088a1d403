/** A projection as a value: a topic, a Postgres table, and the row that each record stands for. No I/O. */
import type { RawRecord } from './batch.ts';
import { at, placeOf } from './place.ts';
import { Poison } from './poison.ts';
import type { Topic } from './topic.ts';

/** A value of a column: JSON as text, a point in time in milliseconds since 1970. NaN in a float8 column becomes null. */
export type Cell = string | number | boolean | null;

/** A projection. The columns `log_partition` and `log_offset` are added to each row by the runner. */
export interface Projection<V = unknown> {
  /** Name of its file, consumer group, metrics label and CLI argument. */
  readonly name: string;
  readonly topic: Topic<V>;
  readonly table: string;
  /** Whether it waits a moment for more records before it reads (`runtime/group-session.ts`), because single records are not urgent. */
  readonly lingers?: boolean;
  /** Column that holds the record key, or the result of `keyOf`. */
  readonly key: string;
  /** The key of a record's row, if it is not the record key. */
  keyOf?(value: V, offset: number): string;
  /** Deletes every row whose `column` equals the result of `of`; undefined for a record that deletes none. */
  readonly forgets?: { readonly column: string; of(value: V): string | undefined };
  /** Column name → Postgres type; the key's among them. */
  readonly columns: Readonly<Record<string, string>>;
  /** The cells of the record's row in the order of `columns`; null to delete the row, undefined for a record that has none. */
  row(value: V, offset: number): readonly Cell[] | null | undefined;
}

/** The latest row of each key in a batch. */
export interface FoldedRow<R> {
  /** The column that holds `key`; a deletion may match many rows. */
  readonly column: string;
  /** As stored in the table. */
  readonly key: string;
  readonly offset: number;
  /** The result of `keep`; null deletes the row. */
  readonly row: R | null;
}

/** What a batch is folded with. */
export interface Folding<V, R> {
  /** May throw Poison. */
  decode(bytes: Buffer): V;
  /** Called with the cells of each record at once, so that they need not be kept longer. */
  keep(cells: readonly Cell[], record: RawRecord): R;
  /** Called for each record for which `decode` or the projection throws Poison. Any other error is thrown on. */
  onPoison(record: RawRecord, poison: Poison): void;
}

/** Reduces a batch to one row for each key. */
export function foldBatch<V, R>(
  projection: Projection<V>,
  records: readonly RawRecord[],
  folding: Folding<V, R>,
): FoldedRow<R>[] {
  const rows = new Map<string, FoldedRow<R>>();
  for (const record of records) {
    const { offset } = record;
    const recordKey = record.key?.toString() ?? '';
    try {
      const value = record.value === null ? undefined : folding.decode(record.value);
      const forgotten = value !== undefined && projection.forgets?.of(value);
      if (projection.forgets && typeof forgotten === 'string') {
        const [{ column }, key] = [projection.forgets, storable(forgotten)];
        rows.set(`${column}\t${key}`, { column, key, offset, row: null });
        continue;
      }
      const cells = value === undefined ? null : projection.row(value, offset);
      if (cells === undefined) continue;
      const key = storable(value === undefined ? recordKey : (projection.keyOf?.(value, offset) ?? recordKey));
      rows.set(key, { column: projection.key, key, offset, row: cells && folding.keep(cells, record) });
    } catch (error) {
      if (!(error instanceof Poison)) throw at(placeOf(record), error);
      folding.onPoison(record, error);
    }
  }
  return [...rows.values()];
}

/** Replaces NUL, which Postgres text can't hold, by the replacement character, as any reader would show it. */
export function storable(text: string): string {
  // Checking first is several times faster than replacing nothing.
  return text.includes('\0') ? text.replaceAll('\0', '\ufffd') : text;
}

/** An Avro enum symbol as the tables spell it: `auto_approved` is `auto-approved` there. */
export function symbol(name: string): string {
  return name.replaceAll('_', '-');
}
