/** The whole pipeline in memory: the same processors and the same Avro bytes as on Kafka, without a broker. */
import type { DeadLetter } from '../schemas/types.ts';
import { runBatch } from './batch.ts';
import type { CodecsByTopic, OutgoingRecord, RawRecord } from './batch.ts';
import type { Processor } from './processor.ts';
import { partitionOf } from './partition.ts';
import type { Topic } from './topic.ts';

/** What a driver needs. */
export interface DriverOptions {
  readonly processors: readonly Processor[];
  readonly codecs: CodecsByTopic;
  readonly deadLetters: Topic<DeadLetter>;
  readonly partitions: number;
  /** Records a processor takes at a time; small batches and large ones must give the same tables. */
  readonly batchSize?: number;
}

/** A decoded record; a tombstone's value is null. */
export interface DrivenRecord<V> {
  readonly key: string;
  readonly partition: number;
  readonly value: V | null;
  readonly traceparent: string | null;
}

/** A pipeline in memory. */
export interface TestDriver {
  /** Appends a record under its key's partition, or under `partition`. */
  send<V>(
    topic: Topic<V>,
    key: string,
    value: V,
    at?: { readonly partition?: number; readonly timestamp?: number; readonly traceparent?: string },
  ): void;
  /** Appends bytes as they are. */
  sendBytes(topic: Topic, key: string, value: Buffer | null, timestamp?: number): void;
  /** Runs every processor until nothing is left to read. */
  drain(): void;
  /** All records of a topic in partition and offset order. */
  records<V>(topic: Topic<V>): DrivenRecord<V>[];
  /** The latest value of each key, without tombstones. */
  table<V>(topic: Topic<V>): Map<string, V>;
}

/** Starts a pipeline with empty topics. */
export function createTestDriver({
  processors,
  codecs,
  deadLetters,
  partitions,
  batchSize = 100,
}: DriverOptions): TestDriver {
  const log = new Map<string, RawRecord[][]>();
  const positions = new Map<string, number>();
  const states = new Map<string, Map<string, Buffer>>();

  function partitionsOf(topic: string): RawRecord[][] {
    const known = log.get(topic) ?? Array.from({ length: partitions }, () => []);
    log.set(topic, known);
    return known;
  }

  function append({ topic, partition, key, value, timestamp, traceparent }: OutgoingRecord): void {
    const target = partition ?? partitionOf(key?.toString() ?? '', partitions);
    const records = partitionsOf(topic)[target];
    records?.push({
      topic,
      partition: target,
      offset: records.length,
      timestamp,
      key: key === null ? null : Buffer.from(key),
      value,
      traceparent,
    });
  }

  function step(processor: Processor, topic: string, partition: number): boolean {
    const position = `${processor.name}/${topic}/${String(partition)}`;
    const from = positions.get(position) ?? 0;
    const batch = partitionsOf(topic)[partition]?.slice(from, from + batchSize) ?? [];
    if (batch.length === 0) return false;
    const stateOf = (p: number) => {
      const name = `${processor.name}/${String(p)}`;
      const state = states.get(name) ?? new Map<string, Buffer>();
      states.set(name, state);
      return state;
    };
    const { outgoing, changes } = runBatch(processor, batch, { codecs, deadLetters, partitions, state: stateOf });
    for (const [p, entries] of changes) {
      for (const [key, { value }] of entries) {
        if (value === null) stateOf(p).delete(key);
        else stateOf(p).set(key, value);
      }
    }
    for (const record of outgoing) append(record);
    positions.set(position, from + batch.length);
    return true;
  }

  return {
    send(topic, key, value, { partition, timestamp = Date.UTC(2026, 10, 1), traceparent } = {}) {
      append({
        topic: topic.name,
        partition: partition ?? null,
        key,
        value: codecs.of(topic).encode(value),
        timestamp,
        traceparent: traceparent ?? null,
      });
    },
    sendBytes(topic, key, value, timestamp = Date.UTC(2026, 10, 1)) {
      append({ topic: topic.name, partition: null, key, value, timestamp, traceparent: null });
    },
    drain() {
      let worked = true;
      while (worked) {
        worked = false;
        for (const processor of processors)
          for (const { topic } of processor.inputs)
            for (let p = 0; p < partitions; p++) worked = step(processor, topic.name, p) || worked;
      }
    },
    records(topic) {
      return partitionsOf(topic.name).flatMap((records, partition) =>
        records.map(({ key, value, traceparent }) => ({
          key: key?.toString() ?? '',
          partition,
          value: value && codecs.of(topic).decode(value),
          traceparent,
        })),
      );
    },
    table(topic) {
      const latest = new Map(this.records(topic).map(({ key, value }) => [key, value] as const));
      return new Map([...latest].flatMap(([key, value]) => (value === null ? [] : [[key, value] as const])));
    },
  };
}
