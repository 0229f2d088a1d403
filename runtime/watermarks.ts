/**
 * Where partitions begin and end: the high watermark, after everything written, open transactions included.
 *
 * A read_committed client gets the last stable offset as the end, which is too early for a reader that must miss nothing: Kafka answers a
 * commit once it is decided and writes the markers into the partitions afterwards (KIP-98, 5.1 and 5.2), so for a moment the stable end
 * lies before records that were just committed. A reader up to the high watermark waits for those markers, at most until the time-out
 * of an abandoned transaction.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LibrdKafkaError, Metadata } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import { librdkafkaReaderConfig, READER_GROUP } from './kafka-clients.ts';
import { call, connectConsumer, disconnect, Transient } from './rdkafka.ts';

const CALL_MS = 10_000;
/** The pause before a partition without a leader is asked again, and the time after which the call fails. */
const LEADERLESS_MS = 100;
const LEADERLESS_AT_MOST_MS = 30_000;

/** The first offset that is kept, and the offset after the last record. */
export interface Watermark {
  readonly low: number;
  readonly high: number;
}

/** A connection that asks for watermarks. Every call throws Transient when Kafka does not answer. */
export interface Watermarks {
  /** Asks again for a moment while a partition has no leader, as after its creation or while its leader moves. */
  of(topic: string, partition: number): Promise<Watermark>;
  /** Those of all partitions of a topic; empty if the topic does not exist. */
  ofAll(topic: string): Promise<ReadonlyMap<number, Watermark>>;
  close(): Promise<void>;
}

/** Connects. @throws Transient when Kafka does not answer. */
export async function openWatermarks(kafka: KafkaConfig, clientId: string): Promise<Watermarks> {
  const client = await connectConsumer({
    ...librdkafkaReaderConfig(kafka, clientId),
    'isolation.level': 'read_uncommitted',
  });

  async function of(topic: string, partition: number): Promise<Watermark> {
    for (const deadline = Date.now() + LEADERLESS_AT_MOST_MS; ; await sleep(LEADERLESS_MS)) {
      try {
        const { lowOffset, highOffset } = await call<{ lowOffset: number; highOffset: number }>(
          `reading the ends of ${topic}`,
          (done) => {
            client.queryWatermarkOffsets(topic, partition, CALL_MS, done);
          },
        );
        return { low: lowOffset, high: highOffset };
      } catch (error) {
        if (!isLeaderless(error) || Date.now() > deadline) throw error;
      }
    }
  }

  return {
    of,
    async ofAll(topic) {
      const { topics } = await call<Metadata>(`reading the partitions of ${topic}`, (done) => {
        client.getMetadata({ topic, timeout: CALL_MS }, done);
      });
      const ids = topics.find(({ name }) => name === topic)?.partitions.map(({ id }) => id) ?? [];
      return new Map(
        await Promise.all(ids.sort((a, b) => a - b).map(async (id) => [id, await of(topic, id)] as const)),
      );
    },
    close: () => disconnect(client),
  };
}

/** The watermarks of all partitions of a topic, asked for once. @throws Transient when Kafka does not answer. */
export async function watermarksOf(kafka: KafkaConfig, topic: string): Promise<ReadonlyMap<number, Watermark>> {
  const watermarks = await openWatermarks(kafka, READER_GROUP);
  return watermarks.ofAll(topic).finally(() => watermarks.close());
}

/** Kafka's LEADER_NOT_AVAILABLE and NOT_LEADER_OR_FOLLOWER, and the client's ERR__UNKNOWN_PARTITION: it knows no leader yet. */
const LEADERLESS: readonly unknown[] = [5, 6, -190];

function isLeaderless(error: unknown): boolean {
  return error instanceof Transient && LEADERLESS.includes((error.cause as Partial<LibrdKafkaError> | undefined)?.code);
}
