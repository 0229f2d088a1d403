/** Rates of the plain clients and of the router on the same broker, in records per second. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Prepared } from '../app/environment.ts';
import { defaultPolicy, decide } from '../policy/routing.ts';
import { confidenceRouter } from '../processors/confidence-router.ts';
import { kafkajsClient, librdkafkaConfig, librdkafkaConsumerConfig } from '../runtime/kafka-clients.ts';
import { startProcessor } from '../runtime/processor-runner.ts';
import { call, connectConsumer, connectProducer, consume, disconnect } from '../runtime/rdkafka.ts';
import type { ConversationCaptured, ConversationEvent } from '../schemas/types.ts';
import { partitionOf } from '../stream/partition.ts';
import { PARTITIONS, topics } from '../topology.ts';

const TRANSACTION = 5000;
const MESSAGES = ['where is my order 4521?', 'मेरा ऑर्डर कहाँ है?', 'refund kab milega bhai', 'என் ஆர்டர் எங்கே?'];

/** Conversation number `i`. Confidences go from 0 to 1 in steps of 0.01. */
export function benchConversation(i: number): ConversationCaptured {
  return {
    conversation_id: `bench-${String(i)}`,
    user_id: `u-${String(i % 5000)}`,
    session_id: `s-${String(i % 50_000)}`,
    user_message: `${MESSAGES[i % MESSAGES.length] ?? ''} ${String(i)}`,
    language: ['en', 'hi', 'hi-Latn', 'ta'][i % 4] ?? 'en',
    nlu_intent: 'track_order',
    nlu_module: ['food', 'parcel', 'payment'][i % 3] ?? 'food',
    nlu_confidence: (i % 101) / 100,
    nlu_provider: 'indicbert',
    model_version: 'router-v1.0.0',
    entities: [],
    runners_up: [],
    routing_target: 'opensearch',
    response_success: true,
    processing_time_ms: 41,
    created_at: Date.UTC(2026, 9, 5) + i,
  };
}

/** Appends the conversations `from` to `to` − 1 to the canonical log, like intake. */
export async function fillLog({ servers, codecs }: Prepared, from: number, to: number): Promise<void> {
  const codec = codecs.of(topics.conversationEvents);
  const producer = await connectProducer(producing(servers.kafka));
  producer.setPollInterval(10); // sent records occupy the queue until their delivery reports are polled
  for (let i = from; i < to; i++) {
    const captured = benchConversation(i);
    const event = {
      conversation_id: captured.conversation_id,
      captured,
      reviewed: null,
      erased: null,
      policy: null,
    } as ConversationEvent;
    await produce(producer, topics.conversationEvents.name, event.conversation_id, codec.encode(event));
  }
  await call('flushing', (done) => producer.flush(120_000, (error) => done(error, undefined)));
  await disconnect(producer);
}

/** librdkafka's defaults for its queue of fetched records: larger than the pipeline's, but a full queue runs dry before the next fetch, 1 s later. */
export const LIBRDKAFKA_QUEUE = { 'queued.max.messages.kbytes': 65_536, 'fetch.queue.backoff.ms': 1000 };

/** Consumes `count` records of the log without processing them, with the pipeline's settings overridden by `settings`. */
export async function rawConsume({ servers }: Prepared, count: number, settings = {}): Promise<number> {
  const config = librdkafkaConsumerConfig(servers.kafka, 'bench', `bench-${randomUUID()}`);
  const consumer = await connectConsumer({ ...config, ...settings });
  const topic = topics.conversationEvents.name;
  consumer.assign(Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition, offset: -2 })));
  let [seen, started] = [0, 0];
  while (seen < count) {
    const messages = await consume(consumer, TRANSACTION);
    if (started === 0 && messages.length > 0) started = performance.now();
    seen += messages.length;
  }
  const seconds = (performance.now() - started) / 1000;
  consumer.unassign();
  await disconnect(consumer);
  return count / seconds;
}

/** Writes `count` encoded decisions in transactions of 5,000, without consuming. */
export async function rawTransactions({ servers, codecs }: Prepared, count: number): Promise<number> {
  const topic = await scratchTopic(servers.kafka);
  const value = codecs.of(topics.routingDecisions).encode(decide(defaultPolicy, benchConversation(99)));
  const producer = await connectProducer({ ...producing(servers.kafka), 'transactional.id': 'bench-transactions' });
  const started = performance.now();
  for (let i = 0; i < count; i += TRANSACTION) {
    await call('beginning', (done) => producer.beginTransaction((error) => done(error, undefined)));
    for (let j = i; j < i + TRANSACTION; j++) producer.produce(topic, j % PARTITIONS, value, `bench-${String(j)}`);
    await call('committing', (done) => producer.commitTransaction(30_000, (error) => done(error, undefined)));
  }
  const seconds = (performance.now() - started) / 1000;
  await disconnect(producer);
  return count / seconds;
}

/** Runs the router, exactly once, from its assignment until the last of `count` records is committed. */
export async function routerRate(prepared: Prepared, count: number): Promise<number> {
  const stateFolder = await mkdtemp(path.join(os.tmpdir(), 'samvad-bench-'));
  const runner = startProcessor({
    processor: confidenceRouter,
    kafka: prepared.servers.kafka,
    codecs: prepared.codecs,
    deadLetters: topics.deadLetters,
    partitions: PARTITIONS,
    stateFolder,
    log: prepared.log,
  });
  while (runner.stats().assigned < PARTITIONS) await sleep(1);
  const started = performance.now();
  while (runner.stats().processed < count) await sleep(5);
  const seconds = (performance.now() - started) / 1000;
  await runner.stop();
  await rm(stateFolder, { recursive: true });
  return count / seconds;
}

/** Runs the Kafka Streams program of bench/peers on the same input. */
export async function streamsRate({ servers }: Prepared, count: number): Promise<number> {
  const folder = path.join(import.meta.dirname, 'peers');
  execFileSync('mvn', ['-q', '-f', path.join(folder, 'pom.xml'), 'package'], { stdio: 'inherit' });
  const versions = `${servers.schemaRegistryUrl}/subjects/${topics.routingDecisions.name}-value/versions/latest`;
  const { id } = (await (await fetch(versions)).json()) as { id: number };
  const state = await mkdtemp(path.join(os.tmpdir(), 'samvad-peer-'));
  const target = path.join(folder, 'target');
  const classes = [path.join(target, 'classes'), path.join(target, 'libs', '*')].join(path.delimiter);
  const names = [
    servers.kafka.brokers,
    topics.conversationEvents.name,
    `bench-peer-${randomUUID()}`,
    path.join(folder, '..', '..', 'schemas'),
  ];
  const numbers = [String(id), state, String(count)];
  const args = ['-Xmx512m', '-cp', classes, 'samvad.peer.ConfidenceRouter', ...names, ...numbers];
  const output = execFileSync('java', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  await rm(state, { recursive: true, force: true });
  return (JSON.parse(output.trim().split('\n').at(-1) ?? '') as { ratePerSecond: number }).ratePerSecond;
}

function producing(kafka: Prepared['servers']['kafka']) {
  return { ...librdkafkaConfig(kafka, 'bench'), 'queue.buffering.max.messages': 200_000, 'linger.ms': 5 } as const;
}

async function produce(
  producer: Awaited<ReturnType<typeof connectProducer>>,
  topic: string,
  key: string,
  value: Buffer,
) {
  for (;;) {
    try {
      producer.produce(topic, partitionOf(key, PARTITIONS), value, key);
      return;
    } catch {
      await sleep(5); // the client's queue is full
    }
  }
}

async function scratchTopic(kafka: Prepared['servers']['kafka']): Promise<string> {
  const topic = `bench-${randomUUID()}`;
  const admin = kafkajsClient(kafka, 'bench').admin();
  await admin.connect();
  await admin.createTopics({ waitForLeaders: false, topics: [{ topic, numPartitions: PARTITIONS }] });
  await admin.disconnect();
  return topic;
}
