import type { RecordTypes } from '../schemas/types.ts';

/**
 * What a topic keeps: the latest record of each key, everything, or everything of the last `retentionMs`. A topic that keeps everything
 * `until erased` is compacted too: each of its records has its own key (`event-key.ts`), under which an erasure overwrites it.
 */
export type Retention = 'latest per key' | 'until erased' | 'for ever' | { readonly retentionMs: number };

/** A Kafka topic as a value. `V` is the type of its records. */
export interface Topic<V = unknown> {
  /** Full name in Kafka. */
  readonly name: string;
  /** Name of the Avro record that it holds. */
  readonly schema: keyof RecordTypes;
  /** What the record key is; in a topic that keeps everything until erased, what it begins with. */
  readonly key: string;
  readonly keeps: Retention;
  /** Whether tombstones stay for good, because a reader must still find them however long it was away. */
  readonly keepsTombstones?: boolean;
  /** Number of partitions, if it differs from that of the pipeline. Such a topic can't be an input of a processor. */
  readonly partitions?: number;
  /** Largest record in bytes that the broker accepts; the broker's default when absent. */
  readonly maxRecordBytes?: number;
  /** Whether it is written from outside the pipeline. The broker then stamps records on arrival and recompresses them. */
  readonly external: boolean;
  readonly holds: string;
  /** Carries the record type; never set. */
  readonly recordType?: V;
}

type Described<S extends keyof RecordTypes> = Omit<Topic, 'name' | 'schema' | 'external' | 'recordType'> & {
  readonly schema: S;
  readonly external?: boolean;
};

/** What the whole record key is, in words. */
export function describeKey({ key, keeps }: Topic): string {
  return keeps === 'until erased' ? `${key} / event` : key;
}

/** Prefix of every topic's name. */
export const TOPIC_PREFIX = 'nlu.';

/** Declares the topic `nlu.<name>`. */
export function topic<S extends keyof RecordTypes>(name: string, description: Described<S>): Topic<RecordTypes[S]> {
  return { external: false, ...description, name: `${TOPIC_PREFIX}${name}` };
}
