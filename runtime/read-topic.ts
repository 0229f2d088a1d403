/** Reads a whole topic once, up to the ends that it has at the start. */
import type { Message, TopicPartitionOffset } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import type { RawRecord } from '../stream/batch.ts';
import { librdkafkaReaderConfig, READER_GROUP } from './kafka-clients.ts';
import { connectConsumer, consume, disconnect, patience, rawRecord } from './rdkafka.ts';
import { openWatermarks } from './watermarks.ts';

const BATCH = 1000;

/** The end of each partition that holds anything: the offset after the last record or transaction marker. */
export async function topicEnds(kafka: KafkaConfig, topic: string): Promise<Map<number, number>> {
  const watermarks = await openWatermarks(kafka, READER_GROUP);
  try {
    const ends = await watermarks.ofAll(topic);
    return new Map(
      [...ends].filter(([, { low, high }]) => high > low).map(([partition, { high }]) => [partition, high]),
    );
  } finally {
    await watermarks.close();
  }
}

/**
 * Every committed record of `topic` from `from` (the beginning where absent) up to `ends`, and perhaps some more, in offset
 * order within each partition.
 * Commits nothing, joins no group. @throws Transient when there is more, and nothing comes for half a minute.
 */
export async function* readTopic(
  kafka: KafkaConfig,
  topic: string,
  ends?: ReadonlyMap<number, number>,
  from?: ReadonlyMap<number, number>,
): AsyncGenerator<RawRecord> {
  for await (const batch of readBatches(kafka, topic, BATCH, ends, from)) yield* batch;
}

/** The records of `readTopic`, up to `max` at a time. The next batch is read while one is worked on. */
export async function* readBatches(
  kafka: KafkaConfig,
  topic: string,
  max: number,
  ends?: ReadonlyMap<number, number>,
  from?: ReadonlyMap<number, number>,
): AsyncGenerator<readonly RawRecord[]> {
  const waiting = new Map(ends ?? (await topicEnds(kafka, topic)));
  if (waiting.size === 0) return;
  const consumer = await connectConsumer(librdkafkaReaderConfig(kafka, READER_GROUP));
  // The end of a partition is a transaction's marker, which no record shows: only the end-of-partition event tells.
  consumer.on('partition.eof', ({ partition, offset }: TopicPartitionOffset) => {
    if (offset >= (waiting.get(partition) ?? Infinity)) waiting.delete(partition);
  });
  let reading: Promise<readonly Message[]> = Promise.resolve([]);
  const read = () => {
    reading = consume(consumer, max);
    reading.catch(() => undefined); // whoever awaits it sees the failure
  };
  try {
    consumer.assign([...waiting.keys()].map((partition) => ({ topic, partition, offset: from?.get(partition) ?? -2 })));
    read();
    const waited = patience(`reading ${topic}`);
    for (let last = false; !last;) {
      const batch = await reading;
      waited(batch.length);
      last = waiting.size === 0;
      if (!last) read();
      if (batch.length > 0) yield batch.map(rawRecord);
    }
  } finally {
    await reading.catch(() => undefined);
    consumer.unassign();
    await disconnect(consumer);
  }
}
