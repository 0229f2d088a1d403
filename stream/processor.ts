/** A processor as a value: what it reads, what it may write, what it remembers, and a pure step. No I/O. */
import type { Topic } from './topic.ts';

/** A decoded record and where it stands in the log. */
export interface LogRecord<V> {
  readonly key: string;
  readonly value: V;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since 1970: when the broker received it on external topics, the event's own time on others. */
  readonly timestamp: number;
}

/** The processor's state after the previous step. A step changes it with an emission to its topic. */
export interface Table<T> {
  get(key: string): T | undefined;
}

/** A record to write. A null value is a tombstone. */
export interface Emission {
  readonly topic: Topic;
  readonly key: string;
  readonly value: unknown;
  /** Event time in milliseconds since 1970. */
  readonly timestamp: number;
}

/** One step: the same record and table always give the same emissions. Throws Poison for a record that breaks a rule. */
export type Step<V, T> = (record: LogRecord<V>, table: Table<T>) => readonly Emission[];

/** One topic that a processor reads. */
export interface Input<T = unknown> {
  readonly topic: Topic;
  /** The key that a record should have. A record in another partition than that of this key is first sent to the right one. */
  readonly keyOf: ((value: never) => string) | undefined;
  /** Declared as a method, so that a processor of any table is assignable to `Processor`. */
  step(record: LogRecord<never>, table: Table<T>): readonly Emission[];
  /** The step for tombstones. Without it, tombstones are ignored. */
  gone?(record: LogRecord<null>, table: Table<T>): readonly Emission[];
}

/** A node of the pipeline. */
export interface Processor<T = unknown> {
  /** Name of its file, consumer group, metrics label and CLI argument. */
  readonly name: string;
  readonly does: string;
  readonly inputs: readonly Input<T>[];
  /** Topics that it may write besides its table and the dead letters. */
  readonly outputs: readonly Topic[];
  /** Compacted topic in which it keeps its state. A transaction writes one record per key, the latest. */
  readonly table: Topic<T>;
  /** Whether it waits a moment for more records before it reads (`runtime/group-session.ts`), because single records are not urgent. */
  readonly lingers?: boolean;
}

/** Declares that a topic is read, and with which step. `keyOf` is for external topics. */
export function on<V, T>(topic: Topic<V>, step: Step<V, T>, keyOf?: (value: V) => string): Input<T> {
  return { topic, step, keyOf };
}

/** Declares that a table is read, with the steps of its records and of its tombstones. */
export function onTable<V, T>(topic: Topic<V>, step: Step<V, T>, gone: Step<null, T>): Input<T> {
  return { topic, step, gone, keyOf: undefined };
}

/** An emission whose value must fit its topic. */
export function emit<V>(topic: Topic<V>, key: string, value: V | null, timestamp: number): Emission {
  return { topic, key, value, timestamp };
}
