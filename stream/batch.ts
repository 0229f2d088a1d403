/**
 * Runs a processor over a batch of raw records: bytes in, bytes out, nothing written. The runner puts what comes back
 * into one transaction; the topology test driver puts it into arrays. Both run this same code.
 */
import type { DeadLetter } from '../schemas/types.ts';
import { partitionOf } from './partition.ts';
import { Poison } from './poison.ts';
import type { Input, LogRecord, Processor, Table } from './processor.ts';
import type { Topic } from './topic.ts';

/** A record as Kafka gives it. */
export interface RawRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

/** A record to produce. `partition` null leaves the choice to the key. */
export interface OutgoingRecord {
  readonly topic: string;
  readonly partition: number | null;
  readonly key: Buffer | string | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
}

/** Encoding and decoding by topic. */
export interface CodecsByTopic {
  of<V>(topic: Topic<V>): { encode(record: V): Buffer; decode(bytes: Buffer): V };
}

/** Encoded table entries of one partition, as of the last committed batch. */
export interface StateReader {
  get(key: string): Buffer | undefined;
}

/** New table entries by partition and key; null deletes. */
export type StateChanges = ReadonlyMap<number, ReadonlyMap<string, Buffer | null>>;

/** What a batch amounts to. */
export interface BatchResult {
  readonly outgoing: readonly OutgoingRecord[];
  readonly changes: StateChanges;
  readonly deadLetters: number;
}

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
  let dead = 0;

  function tableOf(partition: number): StagedTable<T> {
    const known = staged.get(partition);
    if (known) return known;
    const table = stageTable(context.state(partition), (bytes) => tableCodec.decode(bytes));
    staged.set(partition, table);
    return table;
  }

  function process(raw: RawRecord): void {
    const input = inputOf(processor, raw.topic);
    if (raw.value === null) {
      if (input.topic.external) throw new Poison('empty-record', 'The record has no value.');
      return; // a tombstone of a compacted topic: nothing to process
    }
    const value = codecs.of(input.topic).decode(raw.value);
    const key = (input.keyOf as ((value: unknown) => string) | undefined)?.(value);
    if (key !== undefined && partitionOf(key, context.partitions) !== raw.partition) {
      // Sent by a producer with another partitioner: back to the same topic, under the key and partition it should have.
      outgoing.push({
        topic: raw.topic,
        partition: partitionOf(key, context.partitions),
        key,
        value: raw.value,
        timestamp: raw.timestamp,
      });
      return;
    }
    const table = tableOf(raw.partition);
    const record: LogRecord<unknown> = {
      key: key ?? raw.key?.toString() ?? '',
      value,
      partition: raw.partition,
      offset: raw.offset,
      timestamp: raw.timestamp,
    };
    for (const emission of input.step(record as LogRecord<never>, table)) {
      const { topic, key: emittedKey, timestamp } = emission;
      if (topic.name === processor.table.name) table.set(emittedKey, emission.value as T | null, timestamp);
      else {
        const bytes = emission.value === null ? null : codecs.of(topic).encode(emission.value);
        outgoing.push({ topic: topic.name, partition: raw.partition, key: emittedKey, value: bytes, timestamp });
      }
    }
  }

  for (const raw of records) {
    try {
      process(raw);
    } catch (error) {
      if (!(error instanceof Poison)) throw error;
      dead++;
      const letter = deadLetter(processor.name, raw, error);
      outgoing.push({
        topic: deadLetters.name,
        partition: null,
        key: raw.key,
        value: codecs.of(deadLetters).encode(letter),
        timestamp: raw.timestamp,
      });
    }
  }
  return {
    outgoing,
    changes: flushTables(staged, processor.table, (value) => tableCodec.encode(value), outgoing),
    deadLetters: dead,
  };
}

/** The dead letter for a record that `component` could not process. */
export function deadLetter(component: string, raw: RawRecord, { code, message }: Poison): DeadLetter {
  const { topic, partition, offset, timestamp, key, value } = raw;
  return { code, message, component, topic, partition, offset, timestamp, key, value };
}

function inputOf<T>(processor: Processor<T>, topic: string): Input<T> {
  const input = processor.inputs.find((candidate) => candidate.topic.name === topic);
  if (!input) throw new Error(`${processor.name} does not read ${topic}.`);
  return input;
}

interface StagedTable<T> extends Table<T> {
  readonly changes: Map<string, { readonly value: T | null; readonly timestamp: number }>;
  set(key: string, value: T | null, timestamp: number): void;
}

function stageTable<T>(state: StateReader, decode: (bytes: Buffer) => T): StagedTable<T> {
  const changes = new Map<string, { readonly value: T | null; readonly timestamp: number }>();
  return {
    changes,
    get(key) {
      const change = changes.get(key);
      if (change) return change.value ?? undefined;
      const bytes = state.get(key);
      return bytes && decode(bytes);
    },
    set(key, value, timestamp) {
      changes.set(key, { value, timestamp });
    },
  };
}

/** Encodes the latest value of each changed key, once for the topic and for the local store. */
function flushTables<T>(
  staged: Map<number, StagedTable<T>>,
  topic: Topic<T>,
  encode: (value: T) => Buffer,
  outgoing: OutgoingRecord[],
): StateChanges {
  const changes = new Map<number, Map<string, Buffer | null>>();
  for (const [partition, table] of staged) {
    const encoded = new Map<string, Buffer | null>();
    for (const [key, { value, timestamp }] of table.changes) {
      const bytes = value === null ? null : encode(value);
      encoded.set(key, bytes);
      outgoing.push({ topic: topic.name, partition, key, value: bytes, timestamp });
    }
    if (encoded.size > 0) changes.set(partition, encoded);
  }
  return changes;
}
