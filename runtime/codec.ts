/**
 * Avro in Confluent framing: one zero byte, the schema id as a big-endian int32, then the Avro binary.
 * https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
 */
import avsc from 'avsc';
import type { RecordTypes } from '../schemas/types.ts';
import { schemas } from '../schemas/types.ts';
import type { Topic } from '../stream/topic.ts';
import { avroGuard } from './avro-guard.ts';
import type { SchemaRegistryClient } from './schema-registry.ts';
import { Poison } from '../stream/poison.ts';

const HEADER_BYTES = 5;
/** Encoded records are cut from slabs of this size. */
const SLAB_BYTES = 64 * 1024;
/** An unknown id is requested again after this time, because it may have been registered or restored meanwhile. */
const ASK_AGAIN_MS = 10_000;
/** How many unknown ids are remembered; the oldest is dropped first. A producer can invent any number; a batch has far fewer. */
const MAX_UNKNOWN = 50_000;
/** Concurrent requests to the registry. */
const ASK_AT_ONCE = 20;

/** Encodes and decodes the records of one topic. */
export interface Codec<V> {
  /** The framed bytes of `record`, in a part of a buffer that is never overwritten. */
  encode(record: V): Buffer;
  /**
   * The record in `bytes`. Synchronous: call `prepare` first for bytes that another process wrote.
   * @throws Poison when the bytes are not a record of this topic. @throws RegistryUnavailable for an unknown schema if `prepareAll` got no answer.
   */
  decode(bytes: Buffer): V;
  /**
   * Fetches the writers' schemas that `messages` name and that are not known yet.
   * @throws RegistryUnavailable when the registry does not answer.
   */
  prepare(messages: Iterable<Buffer | null>): Promise<void>;
  /**
   * Fetches every registered version, so that records of earlier and later releases can be decoded. If the registry does not answer,
   * this does not throw, but `decode` does, for a record whose schema is not known.
   */
  prepareAll(): Promise<void>;
}

type Reader = (bytes: Buffer) => unknown;

/** A codec that writes with schema `id`, and reads what any registered version wrote. */
export function createCodec<V>(topic: Topic<V>, id: number, registry: SchemaRegistryClient | undefined): Codec<V> {
  const type = avroType(topic.schema);
  const readers = new Map<number, Reader | Poison>([[id, readerOf(topic.external, type, type)]]);
  /** Ids that the registry does not know, each with the time of the last request, oldest first. */
  const unknown = new Map<number, number>();
  let unanswered: Error | undefined;
  let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  let used = 0;

  function encode(record: V): Buffer {
    let end = type.encode(record, slab, used + HEADER_BYTES);
    if (end < 0) {
      const missing = -end;
      slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, slab.length - used + missing));
      used = 0;
      end = type.encode(record, slab, HEADER_BYTES);
    }
    slab.writeUInt8(0, used);
    slab.writeInt32BE(id, used + 1);
    const bytes = slab.subarray(used, end);
    used = end;
    return bytes;
  }

  function decode(bytes: Buffer): V {
    const writer = schemaId(bytes);
    const known = readers.get(writer);
    if (known instanceof Poison) throw new Poison(known.code, known.message); // a reader may add the record's place to it
    if (known !== undefined) return known(bytes) as V;
    if (unknown.has(writer)) throw new Poison('unknown-schema', `No schema has the id ${String(writer)}.`);
    throw unanswered ?? new Error(`Schema ${String(writer)} was not prepared.`);
  }

  async function prepare(messages: Iterable<Buffer | null>): Promise<void> {
    const named = new Set<number>();
    for (const bytes of messages)
      if (bytes !== null && bytes.length >= HEADER_BYTES && bytes[0] === 0) named.add(bytes.readInt32BE(1));
    const since = Date.now() - ASK_AGAIN_MS;
    const asked = [...named].filter((writer) => !readers.has(writer) && (unknown.get(writer) ?? -Infinity) < since);
    for (let i = 0; i < asked.length; i += ASK_AT_ONCE)
      await Promise.all(asked.slice(i, i + ASK_AT_ONCE).map(fetchReader));
  }

  async function prepareAll(): Promise<void> {
    try {
      for (const { id: writer, schema } of (await registry?.versions(`${topic.name}-value`)) ?? [])
        if (!readers.has(writer)) readers.set(writer, compile(writer, schema));
      unanswered = undefined;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      unanswered = error;
    }
  }

  async function fetchReader(writer: number): Promise<void> {
    const schema = await registry?.schemaById(writer);
    unknown.delete(writer);
    if (schema !== undefined) return void readers.set(writer, compile(writer, schema));
    unknown.set(writer, Date.now());
    const [oldest] = unknown.keys();
    if (oldest !== undefined && unknown.size > MAX_UNKNOWN) unknown.delete(oldest);
  }

  function compile(writer: number, schema: string): Reader | Poison {
    try {
      return readerOf(topic.external, avsc.Type.forSchema(JSON.parse(schema) as avsc.Schema), type);
    } catch (error) {
      return new Poison(
        'unreadable-schema',
        `Schema ${String(writer)} can't be read as ${topic.schema}: ${String(error)}`,
      );
    }
  }

  return { encode, decode, prepare, prepareAll };
}

const types = new Map<keyof RecordTypes, avsc.Type>();

/** The compiled Avro type of a record. */
export function avroType(name: keyof RecordTypes): avsc.Type {
  const known = types.get(name);
  if (known) return known;
  const type = avsc.Type.forSchema(JSON.parse(schemas[name]) as avsc.Schema);
  types.set(name, type);
  return type;
}

/** Records of an external topic are checked by `avroGuard` before they are decoded; those of the other topics were encoded by this project. */
function readerOf(external: boolean, writer: avsc.Type, reader: avsc.Type): Reader {
  const check = external ? avroGuard(writer) : undefined;
  const resolver = writer.fingerprint().equals(reader.fingerprint()) ? undefined : reader.createResolver(writer);
  function read(bytes: Buffer): { readonly value: unknown; readonly offset: number } {
    try {
      check?.(bytes, HEADER_BYTES);
      return reader.decode(bytes, HEADER_BYTES, resolver);
    } catch (error) {
      // Whoever may write to a topic, a foreign record in it must not end the process, even if the check missed the fault.
      if (error instanceof Poison) throw error;
      throw new Poison('bad-avro', `It can't be decoded: ${String(error)}`);
    }
  }
  return (bytes) => {
    const { value, offset } = read(bytes);
    if (offset === bytes.length) return value;
    throw new Poison('bad-avro', offset < 0 ? 'The Avro record is cut off.' : 'Bytes follow the Avro record.');
  };
}

/** The id of the schema that a framed record was written with. @throws Poison `bad-frame` when the frame is wrong. */
export function schemaId(bytes: Buffer): number {
  if (bytes.length < HEADER_BYTES)
    throw new Poison('bad-frame', `The record has ${String(bytes.length)} bytes; a framed one has 5 or more.`);
  if (bytes[0] !== 0)
    throw new Poison('bad-frame', `The record starts with byte ${String(bytes[0])}; Confluent framing starts with 0.`);
  return bytes.readInt32BE(1);
}
