/**
 * Checks Avro bytes before they are decoded. avsc trusts block counts: with six bytes that claim an array of 1e9 items the process
 * runs out of memory, which no `catch` can handle. This check compares every count and length with the bytes that remain. It also limits
 * nesting and the number of parts that take no bytes, so that a registered schema can't make a record cost more than its bytes allow.
 */
import { isUtf8 } from 'node:buffer';
import type avsc from 'avsc';
import { Poison } from '../stream/poison.ts';

interface Cursor {
  readonly bytes: Buffer;
  at: number;
  /** How deep records are nested at this point. */
  depth: number;
  /** Parts that took no bytes of their own, so far. */
  free: number;
}
type Walk = (cursor: Cursor) => void;
/** A schema as avsc writes it: names are full, and a type is defined where it first occurs. */
type Node =
  | string
  | Node[]
  | {
      type: string;
      name?: string;
      fields?: { type: Node }[];
      symbols?: string[];
      items?: Node;
      values?: Node;
      size?: number;
    };

/** Nesting of records: our own schemas nest 4 deep, and each level takes stack frames here and in avsc. */
const MAX_DEPTH = 100;
/** How many parts that take no bytes (records, nulls) a record may have: a fixed number plus some for each byte. */
const FREE_PARTS = 1000;
const FREE_PARTS_A_BYTE = 16;

/** Returns a check for records of `type`. It throws Poison `bad-avro` or `bad-utf8`, and `unreadable-schema` for items that take no bytes. */
export function avroGuard(type: avsc.Type): (bytes: Buffer, start: number) => void {
  const walk = compile(type.schema({ exportAttrs: false }) as Node, new Map());
  return (bytes, start) => {
    const cursor = { bytes, at: start, depth: 0, free: 0 };
    walk(cursor);
    if (cursor.at !== bytes.length) throw new Poison('bad-avro', 'Bytes follow the Avro record.');
  };
}

function compile(node: Node, named: Map<string, Walk>): Walk {
  if (Array.isArray(node)) {
    const branches = node.map((branch) => compile(branch, named));
    return (c) => at(branches, long(c), 'union branch')(c);
  }
  if (typeof node === 'string') return primitive(node) ?? reference(node, named);
  const register = (walk: Walk): Walk => {
    if (node.name !== undefined) named.set(node.name, walk);
    return walk;
  };
  switch (node.type) {
    case 'record':
    case 'error': {
      const fields: Walk[] = [];
      const walk = register((c) => {
        free(c);
        if (++c.depth > MAX_DEPTH)
          throw new Poison('bad-avro', `Records are nested more than ${String(MAX_DEPTH)} deep.`);
        for (const field of fields) field(c);
        c.depth--;
      });
      for (const field of node.fields ?? []) fields.push(compile(field.type, named));
      return walk;
    }
    case 'enum': {
      const symbols = node.symbols ?? [];
      return register((c) => void at(symbols, long(c), 'enum symbol'));
    }
    case 'fixed': {
      const size = node.size ?? 0;
      return register((c) => {
        free(c);
        skip(c, size);
      });
    }
    case 'array':
      return blocks(compile(node.items ?? 'null', named));
    case 'map': {
      const value = compile(node.values ?? 'null', named);
      return blocks((c) => {
        text(c);
        value(c);
      });
    }
    default:
      throw new Poison('unreadable-schema', `The schema has a type ${node.type} that can't be checked.`);
  }
}

function primitive(name: string): Walk | undefined {
  switch (name) {
    case 'null':
      return free;
    case 'boolean':
      return (c) => {
        skip(c, 1);
        if ((c.bytes[c.at - 1] ?? 2) > 1) throw new Poison('bad-avro', `A boolean is ${String(c.bytes[c.at - 1])}.`);
      };
    case 'int':
      return (c) => within(long(c), -(2 ** 31), 2 ** 31 - 1);
    case 'long':
      return (c) => within(long(c), -MAX_LONG, MAX_LONG);
    case 'float':
      return (c) => skip(c, 4);
    case 'double':
      return (c) => skip(c, 8);
    case 'bytes':
      return (c) => skip(c, long(c));
    case 'string':
      return text;
    default:
      return undefined;
  }
}

function reference(name: string, named: Map<string, Walk>): Walk {
  return (c) => {
    const walk = named.get(name);
    if (!walk) throw new Poison('unreadable-schema', `The schema names a type ${name} that it does not define.`);
    walk(c);
  };
}

function blocks(item: Walk): Walk {
  return (c) => {
    for (let count = long(c); count !== 0; count = long(c)) {
      const size = count < 0 ? long(c) : undefined; // a negative count is followed by the block's size in bytes
      const start = c.at;
      const n = Math.abs(count);
      if (n > c.bytes.length - c.at)
        throw new Poison(
          'bad-avro',
          `A block claims ${String(n)} items; ${String(c.bytes.length - c.at)} bytes remain.`,
        );
      for (let i = 0; i < n; i++) {
        const before = c.at;
        item(c);
        if (c.at === before)
          throw new Poison(
            'unreadable-schema',
            'The schema has items that take no bytes; their number can not be checked.',
          );
      }
      // avsc believes the size where it skips a field that our schema lacks: a negative one would take it back, again and again.
      if (size !== undefined && size !== c.at - start)
        throw new Poison('bad-avro', `A block claims ${String(size)} bytes and has ${String(c.at - start)}.`);
    }
  };
}

/** Counts a part that takes no bytes of its own. */
function free(c: Cursor): void {
  if (++c.free > FREE_PARTS + FREE_PARTS_A_BYTE * c.bytes.length)
    throw new Poison('bad-avro', `The record has ${String(c.free)} parts that take no bytes.`);
}

function text(c: Cursor): void {
  const start = c.at;
  const length = long(c);
  skip(c, length);
  if (!isUtf8(c.bytes.subarray(c.at - length, c.at)))
    throw new Poison('bad-utf8', `The string at byte ${String(start)} is not UTF-8.`);
}

function skip(c: Cursor, n: number): void {
  if (n < 0 || n > c.bytes.length - c.at)
    throw new Poison(
      'bad-avro',
      `The Avro record is cut off: ${String(n)} bytes expected, ${String(c.bytes.length - c.at)} remain.`,
    );
  c.at += n;
}

/** Largest long that avsc reads, because a JavaScript number holds it exactly. avsc throws for larger ones. */
const MAX_LONG = Number.MAX_SAFE_INTEGER - 1;

function within(value: number, low: number, high: number): void {
  if (value >= low && value <= high) return;
  throw new Poison('bad-avro', `A number is ${String(value)}; it must be from ${String(low)} to ${String(high)}.`);
}

/** Zig-zag varint, at most ten bytes. Values above 2^53 lose precision, but no valid length or count is that large. */
function long(c: Cursor): number {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 10; i++) {
    const byte = c.bytes[c.at++];
    if (byte === undefined) throw new Poison('bad-avro', 'The Avro record is cut off inside a number.');
    value += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
  throw new Poison('bad-avro', 'A number has more than ten bytes.');
}

function at<T>(list: readonly T[], index: number, what: string): T {
  const found = list[index];
  if (found === undefined) throw new Poison('bad-avro', `There is no ${what} ${String(index)}.`);
  return found;
}
