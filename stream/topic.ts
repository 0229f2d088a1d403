import type { RecordTypes } from '../schemas/types.ts';

/** What a topic keeps: the latest record of each key, everything, or everything of the last `retentionMs`. */
export type Retention = 'latest per key' | 'for ever' | { readonly retentionMs: number };

/** A Kafka topic as a value. `V` is the type of its records. */
export interface Topic<V = unknown> {
  /** Full name in Kafka. */
  readonly name: string;
  /** Name of the Avro record that it holds. */
  readonly schema: keyof RecordTypes;
  /** What the record key is. */
  readonly key: string;
  readonly keeps: Retention;
  /** Number of partitions where it differs from that of the pipeline: such a topic is no input of a processor. */
  readonly partitions?: number;
  /** Largest record in bytes that the broker accepts; the broker's default when absent. */
  readonly maxRecordBytes?: number;
  /** Whether others than this project write to it; the broker then stamps records on arrival and recompresses them. */
  readonly external: boolean;
  readonly holds: string;
  /** Carries the record type; never set. */
  readonly recordType?: V;
}

type Described<S extends keyof RecordTypes> = Pick<Topic, 'key' | 'keeps' | 'holds'> & {
  readonly schema: S;
  readonly external?: boolean;
  readonly partitions?: number;
  readonly maxRecordBytes?: number;
};

/** Every topic's name begins with it. */
export const TOPIC_PREFIX = 'nlu.';

/** Declares the topic `nlu.<name>`. */
export function topic<S extends keyof RecordTypes>(name: string, description: Described<S>): Topic<RecordTypes[S]> {
  return { external: false, ...description, name: `${TOPIC_PREFIX}${name}` };
}
