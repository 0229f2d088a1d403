/** Reads a whole topic once, up to the ends that it has at the start. */
import { randomUUID } from 'node:crypto';
import type { TopicPartitionOffset } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import type { RawRecord } from '../stream/batch.ts';
import { kafkajsClient, librdkafkaConsumerConfig } from './kafka-clients.ts';
import { connectConsumer, consume, disconnect, rawRecord } from './rdkafka.ts';

/** The end of each partition that holds anything: the offset after the last record or transaction marker. */
export async function topicEnds(kafka: KafkaConfig, topic: string): Promise<Map<number, number>> {
  const admin = kafkajsClient(kafka, 'samvad-read').admin();
  await admin.connect();
  try {
    const offsets = await admin.fetchTopicOffsets(topic);
    return new Map(
      offsets
        .filter(({ low, high }) => Number(high) > Number(low))
        .map(({ partition, high }) => [partition, Number(high)]),
    );
  } finally {
    await admin.disconnect();
  }
}

/**
 * Every committed record of `topic` from `from` (the beginning where absent) up to `ends`, and perhaps some more, in offset
 * order within each partition.
 * Commits nothing, joins no group.
 */
export async function* readTopic(
  kafka: KafkaConfig,
  topic: string,
  ends?: ReadonlyMap<number, number>,
  from?: ReadonlyMap<number, number>,
): AsyncGenerator<RawRecord> {
  const waiting = new Map(ends ?? (await topicEnds(kafka, topic)));
  if (waiting.size === 0) return;
  const consumer = await connectConsumer(librdkafkaConsumerConfig(kafka, 'samvad-read', `samvad-read-${randomUUID()}`));
  // The end of a partition is a transaction's marker, which no record shows: only the end-of-partition event tells.
  consumer.on('partition.eof', ({ partition, offset }: TopicPartitionOffset) => {
    if (offset >= (waiting.get(partition) ?? Infinity)) waiting.delete(partition);
  });
  try {
    consumer.assign([...waiting.keys()].map((partition) => ({ topic, partition, offset: from?.get(partition) ?? -2 })));
    while (waiting.size > 0) {
      for (const message of await consume(consumer, 1000)) yield rawRecord(message);
    }
  } finally {
    consumer.unassign();
    await disconnect(consumer);
  }
}
