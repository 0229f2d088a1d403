/** Reads a topic once, up to fixed ends. */
import type { Message, TopicPartitionOffset } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import type { RawRecord } from '../stream/batch.ts';
import type { Topic } from '../stream/topic.ts';
import { at, placeOf } from '../stream/place.ts';
import { Poison } from '../stream/poison.ts';
import { schemaId } from './codec.ts';
import type { Codec } from './codec.ts';
import { librdkafkaReaderConfig, READER_GROUP } from './kafka-clients.ts';
import { connectConsumer, consume, disconnect, OFFSET_BEGINNING, patience, rawRecord } from './rdkafka.ts';
import type { Codecs } from './schema-registry.ts';
import { watermarksOf } from './watermarks.ts';

const BATCH = 1000;

/** What is needed to read typed records. */
export interface Source {
  readonly kafka: KafkaConfig;
  readonly codecs: Codecs;
}

/** Offsets by partition. */
export interface Range {
  /** First offsets to read; a missing partition is read from its beginning. */
  readonly from?: ReadonlyMap<number, number> | undefined;
  /** The offset after the last one to read. Only these partitions are read; absent: all, up to the ends they have now. */
  readonly ends?: ReadonlyMap<number, number> | undefined;
}

/** A decoded record, with the registry id of the schema that it was written with. A null value is a tombstone. */
export type TopicRecord<V> = Omit<RawRecord, 'value'> &
  ({ readonly value: V; readonly schemaId: number } | { readonly value: null; readonly schemaId: null });

/** Codes of records that no schema explains. Processors and projections skip them too, as dead letters. */
const FOREIGN: ReadonlySet<string> = new Set(['bad-frame', 'bad-avro']);

/**
 * The records of a topic, decoded; their writers' schemas must be prepared. Foreign records are left out, and logged.
 * @throws Poison for a record whose schema is unknown or unreadable. More likely the registry was lost than one record is foreign, and what
 * is computed from the topic must not shrink unnoticed.
 */
export function* decodeRecords<V>(
  codecs: Codecs,
  topic: Topic<V>,
  records: Iterable<RawRecord>,
): Generator<TopicRecord<V>> {
  const codec = codecs.of(topic);
  for (const record of records) {
    let decoded: TopicRecord<V> | undefined;
    try {
      decoded = decodeRecord(codec, record);
    } catch (error) {
      if (!(error instanceof Poison)) throw at(placeOf(record), error);
      if (!FOREIGN.has(error.code)) throw at(placeOf(record), withAdvice(error));
      codecs.leftOut(record, error);
    }
    if (decoded) yield decoded;
  }
}

function decodeRecord<V>(codec: Codec<V>, { value, ...record }: RawRecord): TopicRecord<V> {
  if (value === null) return { ...record, value, schemaId: null };
  return { ...record, value: codec.decode(value), schemaId: schemaId(value) };
}

function withAdvice({ code, message }: Poison): Poison {
  return new Poison(
    code,
    `${message} If the registry has lost schemas, restore it; docs/troubleshooting.md says what to do about a single record.`,
  );
}

/** The values of records, without tombstones. */
export function valuesOf<V>(records: readonly TopicRecord<V>[]): V[] {
  return records.flatMap(({ value }) => (value === null ? [] : [value]));
}

/** The end of each partition that is not empty: the offset after the last record or transaction marker. */
export async function topicEnds(kafka: KafkaConfig, topic: string): Promise<Map<number, number>> {
  const places = await watermarksOf(kafka, topic);
  return new Map(
    [...places].filter(([, { low, high }]) => high > low).map(([partition, { high }]) => [partition, high]),
  );
}

/** The records of `readTopic`, decoded as `decodeRecords` does. @throws Transient and Poison */
export async function* readRecords<V>(
  { kafka, codecs }: Source,
  topic: Topic<V>,
  range?: Range,
): AsyncGenerator<TopicRecord<V>> {
  await codecs.of(topic).prepareAll();
  for await (const batch of readBatches(kafka, topic.name, BATCH, range)) yield* decodeRecords(codecs, topic, batch);
}

/**
 * Every committed record of `topic` in `range`, in offset order within each partition. Commits nothing and joins no group.
 * @throws Transient when records are missing and nothing arrives for half a minute.
 */
export async function* readTopic(kafka: KafkaConfig, topic: string, range?: Range): AsyncGenerator<RawRecord> {
  for await (const batch of readBatches(kafka, topic, BATCH, range)) yield* batch;
}

/** The records of `readTopic`, at most `max` at a time. The next batch is read while the caller works on one. */
export async function* readBatches(
  kafka: KafkaConfig,
  topic: string,
  max: number,
  { from, ends }: Range = {},
): AsyncGenerator<readonly RawRecord[]> {
  const to = ends ?? (await topicEnds(kafka, topic));
  /** Partitions that are not read to their ends yet. */
  const open = new Set(to.keys());
  if (open.size === 0) return;
  const reached = (partition: number, next: number) => {
    if (next >= (to.get(partition) ?? 0)) open.delete(partition);
  };
  const consumer = await connectConsumer(librdkafkaReaderConfig(kafka, READER_GROUP));
  // Often a transaction marker precedes the end. No record shows it, only the end-of-partition event.
  consumer.on('partition.eof', ({ partition, offset }: TopicPartitionOffset) => reached(partition, offset));
  let reading: Promise<readonly Message[]> = Promise.resolve([]);
  const read = () => {
    reading = consume(consumer, max);
    reading.catch(() => undefined); // the loop below awaits it and sees the failure
  };
  try {
    consumer.assign(
      [...open].map((partition) => ({ topic, partition, offset: from?.get(partition) ?? OFFSET_BEGINNING })),
    );
    read();
    const waited = patience(`reading ${topic}`);
    for (let last = false; !last;) {
      const messages = await reading;
      waited(messages.length);
      for (const { partition, offset } of messages) reached(partition, offset + 1);
      last = open.size === 0;
      if (!last) read();
      const batch = messages.filter(({ partition, offset }) => offset < (to.get(partition) ?? 0));
      if (batch.length > 0) yield batch.map(rawRecord);
    }
  } finally {
    await reading.catch(() => undefined);
    consumer.unassign();
    await disconnect(consumer);
  }
}
