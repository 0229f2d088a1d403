/** Configures the two Kafka clients: node-rdkafka reads and writes records, kafkajs administers topics, offsets and the cluster. */
import { readFileSync } from 'node:fs';
import { Kafka, logLevel } from 'kafkajs';
import type { KafkaConfig as KafkajsConfig, SASLOptions } from 'kafkajs';
import type { ConsumerGlobalConfig, GlobalConfig } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';

/** Largest batch, with keys and headers, that our transactional producers and the writer of dead letters send. Topics have their own limits. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/**
 * Settings that every librdkafka client shares.
 * The retry back-off is short: after a commit, the next transaction gets CONCURRENT_TRANSACTIONS until the markers are
 * written, and the default of 100 ms would be most of a transaction's time.
 */
export function librdkafkaConfig(kafka: KafkaConfig, clientId: string): GlobalConfig {
  return {
    'client.id': clientId,
    'metadata.broker.list': kafka.brokers,
    'retry.backoff.ms': 5,
    'reconnect.backoff.ms': 50,
    'reconnect.backoff.max.ms': 1000,
    'topic.metadata.refresh.interval.ms': 30_000,
    'log.connection.close': false,
    log_level: 3,
    ...security(kafka),
  };
}

/** A librdkafka consumer that sees committed transactions only. */
export function librdkafkaConsumerConfig(kafka: KafkaConfig, clientId: string, groupId: string): ConsumerGlobalConfig {
  return {
    ...librdkafkaConfig(kafka, clientId),
    'group.id': groupId,
    'isolation.level': 'read_committed',
    'enable.auto.commit': false,
    'enable.auto.offset.store': false,
    'enable.partition.eof': true,
    'fetch.wait.max.ms': 10,
    'fetch.error.backoff.ms': 50,
    'queued.max.messages.kbytes': 4096, // per partition; with a backlog all of these queues fill up
    'fetch.queue.backoff.ms': 10, // how soon a full queue is checked again; after the default of 1 s it would be empty
    'partition.assignment.strategy': 'range', // the only one that gives a task the same partition of all its topics
    'session.timeout.ms': 6000,
    'heartbeat.interval.ms': 1000,
  };
}

/**
 * Group name of consumers that only `assign`: librdkafka requires one, and the broker checks the right to use it. Also the client id of
 * consumers that read a topic once.
 */
export const READER_GROUP = 'samvad-read';

/** A librdkafka consumer for `assign`, which commits nothing. */
export function librdkafkaReaderConfig(kafka: KafkaConfig, clientId: string): ConsumerGlobalConfig {
  return librdkafkaConsumerConfig(kafka, clientId, READER_GROUP);
}

/** kafkajs for administration; `settings` override the defaults. */
export function kafkajsClient(kafka: KafkaConfig, clientId: string, settings: Partial<KafkajsConfig> = {}): Kafka {
  return new Kafka({
    clientId,
    brokers: kafka.brokers.split(','),
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 100, maxRetryTime: 2000, retries: 5 },
    ...(kafka.tls && { ssl: kafka.tls.caFile === undefined ? true : { ca: [readFileSync(kafka.tls.caFile)] } }),
    ...(kafka.sasl && { sasl: kafka.sasl as SASLOptions }),
    ...settings,
  });
}

function security({ tls, sasl }: KafkaConfig): GlobalConfig {
  if (!tls && !sasl) return {};
  const transport = tls ? 'ssl' : 'plaintext';
  return {
    'security.protocol': sasl ? `sasl_${transport}` : transport,
    ...(tls?.caFile !== undefined && { 'ssl.ca.location': tls.caFile }),
    ...(sasl && {
      'sasl.mechanisms': sasl.mechanism.toUpperCase(),
      'sasl.username': sasl.username,
      'sasl.password': sasl.password,
    }),
  };
}
