/**
 * Schema compatibility in the sense of the registry's FULL level: either version can read what the other wrote.
 * The registry checks the same at registration; this check runs at build time, without a server, and names the field.
 * Rules: Avro specification 1.11, "Schema Resolution".
 */
import type { Schema } from 'avsc';

type Node = string | Node[] | ObjectNode;
interface ObjectNode {
  type: Node;
  name?: string;
  namespace?: string;
  fields?: { name: string; type: Node; default?: unknown }[];
  symbols?: string[];
  default?: unknown;
  items?: Node;
  values?: Node;
}

const PROMOTIONS: Readonly<Record<string, readonly string[]>> = {
  int: ['long', 'float', 'double'],
  long: ['float', 'double'],
  float: ['double'],
  string: ['bytes'],
  bytes: ['string'],
};

/** Sentences that say why `before` and `after` can't read each other's records; empty when they can. */
export function incompatibilities(before: Schema, after: Schema): string[] {
  return [
    ...unreadable(before as Node, after as Node, 'the new version cannot read old records'),
    ...unreadable(after as Node, before as Node, 'the old version cannot read new records'),
  ];
}

function unreadable(writer: Node, reader: Node, direction: string): string[] {
  const types = [collect(writer), collect(reader)] as const;
  const problems: string[] = [];
  const visited = new Set<string>();

  function walk(w: Node, r: Node, path: string): void {
    const from = resolve(w, types[0]);
    const to = resolve(r, types[1]);
    const say = (why: string) => problems.push(`field ${path}: ${why}, so ${direction}.`);
    if (Array.isArray(from)) {
      for (const branch of from) walk(branch, to, path);
    } else if (Array.isArray(to)) {
      const match = to.find((branch) => matches(from, resolve(branch, types[1])));
      if (match === undefined) say(`${kind(from)} is in no branch of the union`);
      else walk(from, match, path);
    } else if (!matches(from, to)) {
      say(`${kind(from)} became ${kind(to)}`);
    } else if (from.type === 'record') {
      if (visited.has(to.name ?? path)) return;
      visited.add(to.name ?? path);
      walkFields(from, to, path, say);
    } else if (from.type === 'enum' && to.default === undefined) {
      const unknown = from.symbols?.filter((symbol) => !to.symbols?.includes(symbol)) ?? [];
      if (unknown.length > 0) say(`symbol ${unknown.join(', ')} is unknown and the enum has no default`);
    } else if (from.items !== undefined && to.items !== undefined) {
      walk(from.items, to.items, `${path}[]`);
    } else if (from.values !== undefined && to.values !== undefined) {
      walk(from.values, to.values, `${path}{}`);
    }
  }

  function walkFields(from: ObjectNode, to: ObjectNode, path: string, say: (why: string) => void): void {
    for (const field of to.fields ?? []) {
      const written = from.fields?.find((candidate) => candidate.name === field.name);
      if (written) walk(written.type, field.type, `${path}.${field.name}`);
      else if (!('default' in field)) say(`${field.name} is missing on one side and has no default`);
    }
  }

  walk(writer, reader, (writer as ObjectNode).name ?? 'value');
  return problems;
}

function resolve(node: Node, types: Map<string, ObjectNode>): ObjectNode | Node[] {
  if (Array.isArray(node)) return node;
  if (typeof node === 'string') return types.get(shortName(node)) ?? { type: node };
  return typeof node.type === 'object' ? resolve(node.type, types) : node;
}

function matches(from: ObjectNode | Node[], to: ObjectNode | Node[]): boolean {
  if (Array.isArray(from) || Array.isArray(to)) return true;
  const [writer, reader] = [from.type as string, to.type as string];
  if (writer !== reader) return PROMOTIONS[writer]?.includes(reader) ?? false;
  return from.name === undefined || shortName(from.name) === shortName(to.name ?? '');
}

function kind(node: ObjectNode | Node[]): string {
  return Array.isArray(node) ? 'a union' : (node.name ?? (node.type as string));
}

function shortName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

/** All named types of a schema by short name. */
function collect(node: Node, found = new Map<string, ObjectNode>()): Map<string, ObjectNode> {
  if (typeof node === 'string') return found;
  if (Array.isArray(node)) {
    for (const branch of node) collect(branch, found);
    return found;
  }
  if (node.name !== undefined) found.set(shortName(node.name), node);
  for (const field of node.fields ?? []) collect(field.type, found);
  for (const child of [node.items, node.values, node.type]) if (child !== undefined) collect(child, found);
  return found;
}
