/**
 * Runs a processor over a batch of raw records: bytes in, bytes out, nothing written. The runner writes the result in
 * one transaction; the topology test driver keeps it in arrays. Both run this same code.
 */
import type { DeadLetter } from '../schemas/types.ts';
import { partitionOf } from './partition.ts';
import { at, placeOf } from './place.ts';
import { Poison } from './poison.ts';
import type { Emission, Input, LogRecord, Processor, Table } from './processor.ts';
import type { Topic } from './topic.ts';

/**
 * Largest external record. The broker's limit applies to compressed records: one that is larger uncompressed could not be written again,
 * neither to its own partition nor as part of an output, and would block its partition.
 */
export const MAX_EXTERNAL_BYTES = 1_000_000;
/**
 * Longest key of an external record, in bytes of UTF-8; an id has at most 200 UTF-16 code units. A longer key is refused before it is
 * looked up or sent to its partition, because tables and topics limit the size of keys.
 */
const MAX_EXTERNAL_KEY_BYTES = 1024;
/** Together below the record limit of the dead-letters topic, which holds the key twice: in the letter and as its key. */
const MAX_LETTER_VALUE_BYTES = 3 * 1024 * 1024;
const MAX_LETTER_KEY_BYTES = 64 * 1024;

/** An encoded record, as read from Kafka. */
export interface RawRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** Its trace (`trace.ts`), or null. No other header is read. */
  readonly traceparent: string | null;
}

/** A record to produce. `partition` null leaves the choice to the key. */
export interface OutgoingRecord {
  readonly topic: string;
  readonly partition: number | null;
  readonly key: Buffer | string | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
  /** The trace of the record that caused it. */
  readonly traceparent: string | null;
}

/** Encoding and decoding by topic. */
export interface CodecsByTopic {
  of<V>(topic: Topic<V>): { encode(record: V): Buffer; decode(bytes: Buffer): V };
}

/** Encoded table entries of one partition, as of the last committed batch. */
export interface StateReader {
  get(key: string): Buffer | undefined;
}

/** New table entries by partition and key, each as the record that goes to the table's topic; a null value deletes. */
export type StateChanges = ReadonlyMap<number, ReadonlyMap<string, OutgoingRecord>>;

/** The result of a batch. */
export interface BatchResult {
  readonly outgoing: readonly OutgoingRecord[];
  readonly changes: StateChanges;
  /** Records that became dead letters, and why. */
  readonly poisoned: readonly Poisoned[];
}

/** A record that can't be processed, and the reason. */
export type Poisoned = readonly [RawRecord, Poison];

/** What a batch needs besides its records. */
export interface BatchContext {
  readonly codecs: CodecsByTopic;
  readonly deadLetters: Topic<DeadLetter>;
  /** Partitions of every topic. */
  readonly partitions: number;
  state(partition: number): StateReader;
}

/** Runs `processor` over `records`, which must be in log order within each partition. */
export function runBatch<T>(
  processor: Processor<T>,
  records: readonly RawRecord[],
  context: BatchContext,
): BatchResult {
  const { codecs, deadLetters } = context;
  const tableCodec = codecs.of(processor.table);
  const staged = new Map<number, StagedTable<T>>();
  const outgoing: OutgoingRecord[] = [];
  const poisoned: Poisoned[] = [];

  function tableOf(partition: number): StagedTable<T> {
    const known = staged.get(partition);
    if (known) return known;
    const table = stageTable(processor.table, partition, context.state(partition), tableCodec);
    staged.set(partition, table);
    return table;
  }

  function process(raw: RawRecord): void {
    const input = inputOf(processor, raw.topic);
    if (raw.value === null) {
      if (input.topic.external) throw new Poison('empty-record', 'The record has no value.');
      if (input.gone) write(input.gone(recordOf(raw, null), tableOf(raw.partition)), raw);
      return;
    }
    if (input.topic.external && raw.value.length > MAX_EXTERNAL_BYTES) {
      const found = raw.value.length.toLocaleString('en');
      throw new Poison(
        'too-large',
        `The record has ${found} bytes; at most ${MAX_EXTERNAL_BYTES.toLocaleString('en')} are allowed.`,
      );
    }
    const value = codecs.of(input.topic).decode(raw.value);
    const key = (input.keyOf as ((value: unknown) => string) | undefined)?.(value);
    if (key !== undefined && Buffer.byteLength(key) > MAX_EXTERNAL_KEY_BYTES)
      throw new Poison(
        'invalid-value',
        `${input.topic.key} has ${Buffer.byteLength(key).toLocaleString('en')} bytes; at most ${MAX_EXTERNAL_KEY_BYTES.toLocaleString('en')} are allowed.`,
      );
    if (key !== undefined && partitionOf(key, context.partitions) !== raw.partition) {
      // Sent by a producer with another partitioner: back to the same topic, under the key and partition it should have.
      outgoing.push({
        topic: raw.topic,
        partition: partitionOf(key, context.partitions),
        key,
        value: raw.value,
        timestamp: raw.timestamp,
        traceparent: raw.traceparent,
      });
      return;
    }
    write(input.step(recordOf(raw, value, key) as LogRecord<never>, tableOf(raw.partition)), raw);
  }

  /**
   * No record is later than the one that caused it, and external records have their arrival time: the broker refuses times more than an
   * hour ahead of its clock (`message.timestamp.after.max.ms`, KIP-937 and KIP-1030), and an event may claim a later time.
   */
  function write(emissions: readonly Emission[], { partition, traceparent, timestamp: latest }: RawRecord): void {
    for (const { topic, key, value, timestamp: wanted } of emissions) {
      const timestamp = Math.min(wanted, latest);
      if (topic.name === processor.table.name) tableOf(partition).set(key, value as T | null, timestamp, traceparent);
      else {
        const bytes = value === null ? null : codecs.of(topic).encode(value);
        outgoing.push({ topic: topic.name, partition, key, value: bytes, timestamp, traceparent });
      }
    }
  }

  for (const raw of records) {
    try {
      process(raw);
    } catch (error) {
      if (!(error instanceof Poison)) throw at(placeOf(raw), error);
      poisoned.push([raw, error]);
      const letter = deadLetter(processor.name, raw, error);
      outgoing.push({
        topic: deadLetters.name,
        partition: null,
        key: letter.key,
        value: codecs.of(deadLetters).encode(letter),
        timestamp: raw.timestamp,
        traceparent: raw.traceparent,
      });
    }
  }
  const changes = new Map<number, ReadonlyMap<string, OutgoingRecord>>();
  for (const [partition, table] of staged) {
    const entries = table.encoded();
    if (entries.size > 0) changes.set(partition, entries);
    for (const entry of entries.values()) outgoing.push(entry);
  }
  return { outgoing, changes, poisoned };
}

/**
 * The dead letter for a record that `component` could not process. A key or value that is too large is cut off; a value that must not be
 * kept is left out.
 */
export function deadLetter(component: string, raw: RawRecord, { code, message, withhold }: Poison): DeadLetter {
  const { topic, partition, offset, timestamp } = raw;
  const key = raw.key?.subarray(0, MAX_LETTER_KEY_BYTES) ?? null;
  const value = withhold ? null : (raw.value?.subarray(0, MAX_LETTER_VALUE_BYTES) ?? null);
  return { code, message, component, topic, partition, offset, timestamp, key, value, replayed: null };
}

function recordOf<V>(raw: RawRecord, value: V, key = raw.key?.toString() ?? ''): LogRecord<V> {
  return { key, value, partition: raw.partition, offset: raw.offset, timestamp: raw.timestamp };
}

function inputOf<T>(processor: Processor<T>, topic: string): Input<T> {
  const input = processor.inputs.find((candidate) => candidate.topic.name === topic);
  if (!input) throw new Error(`${processor.name} does not read ${topic}.`);
  return input;
}

/** Names the table entry at fault: the record that needs it becomes the dead letter. */
function entryIn<T>(topic: string, key: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof Poison)) throw error;
    throw new Poison(error.code, `Its entry ${key} in ${topic} can't be read: ${error.message}`);
  }
}

interface StagedTable<T> extends Table<T> {
  set(key: string, value: T | null, timestamp: number, traceparent: string | null): void;
  /** The latest entry of each key that was set. */
  encoded(): ReadonlyMap<string, OutgoingRecord>;
}

/**
 * Encodes each entry early, so that its value does not outlive the step; that saves most of the garbage collector's work. The newest
 * entry stays decoded until another key is set, because a counter sets the same key repeatedly.
 */
function stageTable<T>(
  { name: topic }: Topic<T>,
  partition: number,
  state: StateReader,
  codec: { encode(value: T): Buffer; decode(bytes: Buffer): T },
): StagedTable<T> {
  const entries = new Map<string, OutgoingRecord>();
  let newest: (Pick<OutgoingRecord, 'timestamp' | 'traceparent'> & { key: string; value: T | null }) | undefined;

  function encodeNewest(): void {
    if (!newest) return;
    const { key, value, timestamp, traceparent } = newest;
    newest = undefined;
    const bytes = value === null ? null : codec.encode(value);
    entries.set(key, { topic, partition, key, value: bytes, timestamp, traceparent });
  }

  return {
    get(key) {
      if (newest?.key === key) return newest.value ?? undefined;
      const entry = entries.get(key);
      const bytes = entry ? entry.value : state.get(key);
      return bytes ? entryIn(topic, key, () => codec.decode(bytes)) : undefined;
    },
    set(key, value, timestamp, traceparent) {
      if (newest?.key !== key) encodeNewest();
      newest = { key, value, timestamp, traceparent };
    },
    encoded() {
      encodeNewest();
      return entries;
    },
  };
}
