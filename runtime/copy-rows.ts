/**
 * Rows in the binary format of COPY: the server parses no text, and nothing needs quoting.
 * https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { storable } from '../stream/projection.ts';
import type { Cell } from '../stream/projection.ts';

const HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const TRAILER = Buffer.from([0xff, 0xff]);
const FIRST_BYTES = 256 * 1024;
/** Largest size of a cell that is not text, length field included. */
const FIXED_BYTES = 12;
const BYTES_PER_CHARACTER = 3;
/** ASCII text of up to this many characters is written byte by byte. */
const SHORT = 24;
/** Postgres timestamps are microseconds since this moment. */
const YEAR_2000_MS = Date.UTC(2000, 0, 1);

/** Rows encoded for COPY, without the format's header and trailer. */
export type EncodedRows = Buffer & { readonly encodedRows?: never };

/** Copies chunks of encoded rows into `columns` of `table`. */
export async function copyInto(
  client: PoolClient,
  table: string,
  columns: readonly string[],
  chunks: Iterable<EncodedRows> | AsyncIterable<EncodedRows>,
): Promise<void> {
  async function* framed(): AsyncGenerator<Buffer> {
    yield HEADER;
    yield* chunks;
    yield TRAILER;
  }
  const copy = client.query(copyFrom(`COPY ${table} (${columns.join(', ')}) FROM STDIN (FORMAT binary)`));
  await pipeline(Readable.from(framed(), { objectMode: false }), copy);
}

/** Encodes rows one after another. */
export interface RowEncoder {
  /** Encodes a row and returns its number, counted from 0. */
  add(cells: readonly Cell[]): number;
  /** The rows with these numbers, each once. */
  take(numbers: readonly number[]): EncodedRows;
}

/**
 * An encoder of rows whose cells are in the order of `types`, names of Postgres types. A timestamptz cell is a number of milliseconds
 * since 1970, a jsonb cell is its text. NaN in a float8 column becomes null.
 * @throws Error for an unknown type.
 */
export function rowEncoder(types: readonly string[]): RowEncoder {
  const writers = types.map(writerOf);
  const target: Target = { bytes: Buffer.allocUnsafe(FIRST_BYTES), at: 0 };
  /** Where each row begins. */
  const starts: number[] = [];
  return {
    add(cells) {
      reserve(target, cells);
      starts.push(target.at);
      target.at = target.bytes.writeInt16BE(writers.length, target.at);
      for (let i = 0; i < writers.length; i++) {
        const cell = cells[i] ?? null;
        if (cell === null) target.at = target.bytes.writeInt32BE(-1, target.at);
        else writers[i]?.(target, cell);
      }
      return starts.length - 1;
    },
    take(numbers) {
      if (numbers.length === starts.length) return target.bytes.subarray(0, target.at);
      return Buffer.concat(numbers.map((row) => target.bytes.subarray(starts[row], starts[row + 1] ?? target.at)));
    },
  };
}

interface Target {
  bytes: Buffer;
  at: number;
}
/** Writes the length of a cell that is not null, and the cell. */
type Writer = (target: Target, cell: string | number | boolean) => void;

function reserve(target: Target, cells: readonly Cell[]): void {
  let needed = 2;
  for (const cell of cells) needed += FIXED_BYTES + (typeof cell === 'string' ? cell.length * BYTES_PER_CHARACTER : 0);
  if (target.at + needed <= target.bytes.length) return;
  const larger = Buffer.allocUnsafe(Math.max(target.bytes.length * 2, target.at + needed));
  target.bytes.copy(larger, 0, 0, target.at);
  target.bytes = larger;
}

function writerOf(type: string): Writer {
  switch (type) {
    case 'text':
      return (target, cell) => text(target, String(cell));
    case 'jsonb':
      return jsonb;
    case 'boolean':
      return (target, cell) => {
        target.at = target.bytes.writeInt32BE(1, target.at);
        target.bytes[target.at++] = cell ? 1 : 0;
      };
    case 'smallint':
      return (target, cell) => {
        target.at = target.bytes.writeInt32BE(2, target.at);
        target.at = target.bytes.writeInt16BE(Number(cell), target.at);
      };
    case 'int':
      return (target, cell) => {
        target.at = target.bytes.writeInt32BE(4, target.at);
        target.at = target.bytes.writeInt32BE(Number(cell), target.at);
      };
    case 'bigint':
      return (target, cell) => int64(target, Number(cell));
    case 'float8':
      return (target, cell) => {
        const value = Number(cell);
        target.at = target.bytes.writeInt32BE(Number.isNaN(value) ? -1 : 8, target.at);
        if (!Number.isNaN(value)) target.at = target.bytes.writeDoubleBE(value, target.at);
      };
    case 'timestamptz':
      return (target, cell) => int64(target, (Number(cell) - YEAR_2000_MS) * 1000);
    default:
      throw new Error(`There is no binary format here for columns of type ${type}; see runtime/copy-rows.ts.`);
  }
}

function text(target: Target, value: string): void {
  const length = write(target.bytes, storable(value), target.at + 4);
  target.bytes.writeInt32BE(length, target.at);
  target.at += 4 + length;
}

/** Writes UTF-8 and returns the number of bytes. Short ASCII text, as in most cells, is written byte by byte: a native call takes longer. */
function write(bytes: Buffer, value: string, at: number): number {
  const { length } = value;
  if (length > SHORT) return bytes.write(value, at);
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i);
    if (code > 127) return bytes.write(value, at);
    bytes[at + i] = code;
  }
  return length;
}

/** The binary format of jsonb is the version number 1 and the text. */
function jsonb(target: Target, cell: string | number | boolean): void {
  const length = write(target.bytes, storableJson(String(cell)), target.at + 5);
  target.bytes.writeInt32BE(length + 1, target.at);
  target.bytes[target.at + 4] = 1;
  target.at += 5 + length;
}

/** Like `storable`, for JSON text, where NUL is the escape `\u0000`. After an escaped backslash the same letters are plain text. */
function storableJson(json: string): string {
  if (!json.includes('\\u0000')) return json;
  return json.replaceAll(/\\(?:u0000|.)/g, (escape) => (escape === '\\u0000' ? '\ufffd' : escape));
}

/** Exact up to 2^53: enough for offsets, counts, and microseconds of the next two centuries. */
function int64(target: Target, value: number): void {
  const high = Math.floor(value / 2 ** 32);
  target.at = target.bytes.writeInt32BE(8, target.at);
  target.at = target.bytes.writeInt32BE(high, target.at);
  target.at = target.bytes.writeUInt32BE(value - high * 2 ** 32, target.at);
}
