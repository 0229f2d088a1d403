/**
 * Runs one processor exactly once on Kafka transactions. Each step stands in `runSession` and `transact`, in order.
 *
 * A session is a consumer, a transactional producer and the tables of the assigned partitions. There is one way out of
 * any failure: the session is closed, what was staged is dropped, and a new session starts from what is committed.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KafkaConsumer, Message, Producer, TopicPartitionOffset } from 'node-rdkafka';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import type { DeadLetter } from '../schemas/types.ts';
import type { BatchResult, RawRecord } from '../stream/batch.ts';
import { runBatch } from '../stream/batch.ts';
import type { AnyProcessor } from '../stream/graph.ts';
import type { Topic } from '../stream/topic.ts';
import { librdkafkaConfig, librdkafkaConsumerConfig } from './kafka-clients.ts';
import {
  call,
  committedOffsets,
  connectConsumer,
  connectProducer,
  consume,
  disconnect,
  endOffset,
  OFFSET_BEGINNING,
  Transient,
} from './rdkafka.ts';
import type { Codecs } from './schema-registry.ts';
import { Fenced, openStateStore } from './state-store.ts';
import type { StateStore } from './state-store.ts';
import { restoreTable } from './restore.ts';

/** What a processor needs to run. */
export interface ProcessorRunnerOptions {
  readonly processor: AnyProcessor;
  readonly kafka: KafkaConfig;
  readonly codecs: Codecs;
  readonly deadLetters: Topic<DeadLetter>;
  /** Partitions of every topic. */
  readonly partitions: number;
  /** Folder of the processor's tables. */
  readonly stateFolder: string;
  readonly log: Logger;
  /** Most records in a transaction. */
  readonly maxBatch?: number;
}

/** Counters since the start, for the status page and metrics. */
export interface ProcessorStats {
  readonly processed: number;
  readonly transactions: number;
  readonly deadLetters: number;
  readonly sessions: number;
  readonly assigned: number;
}

/** A running processor. */
export interface ProcessorRunner {
  /** Ends when the processor was stopped; rejects when it met an error that a new session can't mend. */
  readonly finished: Promise<void>;
  /** Finishes the running transaction, hands the partitions back and closes. */
  stop(): Promise<void>;
  stats(): ProcessorStats;
}

const MAX_BATCH = 5000;
const MAX_BACKOFF_MS = 5000;
const CHECKPOINT_MS = 60_000;
/** A killed worker's open transaction holds readers back for this long. */
const TRANSACTION_TIMEOUT_MS = 10_000;

/** Starts `processor`. Returns at once; sessions come and go in the background. */
export function startProcessor(options: ProcessorRunnerOptions): ProcessorRunner {
  const stats = { processed: 0, transactions: 0, deadLetters: 0, sessions: 0, assigned: 0 };
  const stopping = new AbortController();

  async function run(): Promise<void> {
    let backoff = 100;
    while (!stopping.signal.aborted) {
      const before = stats.transactions;
      try {
        stats.sessions++;
        await runSession(options, stopping.signal, stats);
      } catch (error) {
        if (!(error instanceof Transient || error instanceof Fenced)) throw error;
        backoff = stats.transactions > before ? 100 : Math.min(backoff * 2, MAX_BACKOFF_MS);
        options.log.warn({ error: error.message, backoff }, 'session ended, starting anew');
        await sleep(backoff, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
  }

  const finished = run();
  finished.catch(() => undefined); // whoever awaits `finished` sees it; an unobserved one must not end the process unlogged
  return {
    finished,
    async stop() {
      stopping.abort();
      await finished;
    },
    stats: () => stats,
  };
}

type Counters = { -readonly [K in keyof ProcessorStats]: ProcessorStats[K] };

interface Session {
  readonly options: ProcessorRunnerOptions;
  readonly consumer: KafkaConsumer;
  readonly producer: Producer;
  /** Sees ends of partitions with open transactions included. */
  readonly watermarks: KafkaConsumer;
  readonly store: StateStore;
  readonly stats: Counters;
}

async function runSession(options: ProcessorRunnerOptions, stopping: AbortSignal, stats: Counters): Promise<void> {
  const { processor, kafka, log, maxBatch = MAX_BATCH } = options;
  const owner = `${processor.name}-${randomUUID()}`;
  const closers: (() => Promise<void>)[] = [];
  try {
    // 1. A store, a transactional producer, a consumer of the group and one for watermarks.
    const store = openStateStore(options.stateFolder, owner);
    closers.push(() => store.close());
    const producer = await connectProducer(producerConfig(kafka, processor.name, owner));
    closers.push(() => disconnect(producer));
    const watermarks = await connectConsumer({
      ...librdkafkaConsumerConfig(kafka, processor.name, owner),
      'isolation.level': 'read_uncommitted',
    });
    closers.push(() => disconnect(watermarks));
    const membership: Membership = {
      epoch: 0,
      partitions: [],
      changing: Promise.resolve(),
      transaction: Promise.resolve(),
      failure: undefined,
    };
    const consumer: KafkaConsumer = await connectConsumer(
      librdkafkaConsumerConfig(kafka, processor.name, processor.name),
      (revoked, partitions) => {
        rebalance(session, membership, revoked, partitions);
      },
    );
    closers.push(() => disconnect(consumer));
    const session: Session = { options, consumer, producer, watermarks, store, stats };
    const ends = trackEnds(consumer);
    consumer.subscribe(processor.inputs.map(({ topic }) => topic.name));
    // 2. Batch after batch, each in one transaction.
    let checkpointed = Date.now();
    while (!stopping.aborted && !membership.failure) {
      const epoch = membership.epoch;
      const messages = await consume(consumer, maxBatch);
      if (epoch !== membership.epoch) {
        ends.clear(); // revoked meanwhile: the new owner reads these records again
        continue;
      }
      if (messages.length > 0) {
        await exclusively(membership, transact(session, messages));
      } else {
        commitEnds(consumer, ends);
      }
      if (Date.now() - checkpointed > CHECKPOINT_MS) {
        await exclusively(membership, checkpoint(session, membership.partitions));
        checkpointed = Date.now();
      }
    }
    if (membership.failure) throw membership.failure;
    // 3. Asked to stop: note how far the tables reach, then hand the partitions back.
    await membership.changing;
    await checkpoint(session, membership.partitions);
  } finally {
    for (const close of closers.reverse()) await close();
    stats.assigned = 0;
    log.debug('session closed');
  }
}

/** Who owns what. Revocation waits for `transaction`: a partition never moves while its transaction is open. */
interface Membership {
  /** Grows with each revocation; records consumed before it are not ours to process. */
  epoch: number;
  partitions: readonly number[];
  changing: Promise<void>;
  transaction: Promise<void>;
  failure: Error | undefined;
}

/**
 * Lets revocation wait for `work`. Once it fails its outcome is unknown, so this session must not note any more that
 * its tables are current.
 */
async function exclusively(membership: Membership, work: Promise<void>): Promise<void> {
  membership.transaction = work.catch((error: unknown) => {
    membership.failure ??= error instanceof Error ? error : new Error(String(error));
  });
  await membership.transaction;
}

function rebalance(
  session: Session,
  membership: Membership,
  revoked: boolean,
  partitions: readonly TopicPartitionOffset[],
): void {
  if (revoked) membership.epoch++;
  const change = async () => {
    if (revoked) {
      await membership.transaction;
      if (!membership.failure) await checkpoint(session, membership.partitions);
      membership.partitions = [];
      session.consumer.unassign();
    } else {
      const offsets = await takeOver(session, partitions);
      membership.partitions = [...new Set(partitions.map(({ partition }) => partition))];
      session.consumer.assign(offsets);
    }
    session.stats.assigned = membership.partitions.length;
  };
  membership.changing = membership.changing.then(change).catch((error: unknown) => {
    membership.failure ??= error instanceof Error ? error : new Error(String(error));
    if (revoked) session.consumer.unassign();
  });
}

/**
 * Makes the tables of `partitions` current and gives the offsets to read from. The order matters: committed offsets
 * are stable only when no transaction is about to move them, so whatever the table's topic holds after that belongs to
 * them; the other way round a predecessor's last transaction could be missed.
 */
async function takeOver(
  { options, consumer, watermarks, store }: Session,
  partitions: readonly TopicPartitionOffset[],
): Promise<TopicPartitionOffset[]> {
  const committed = await committedOffsets(consumer, partitions);
  const { processor, kafka, log } = options;
  for (const partition of new Set(partitions.map((p) => p.partition))) {
    const started = Date.now();
    const restored = await restoreTable({
      topic: processor.table.name,
      partition,
      store,
      watermarks,
      kafka,
      clientId: processor.name,
    });
    log.info({ partition, restored, ms: Date.now() - started }, 'table is current');
  }
  return committed.map(({ topic, partition, offset }) => ({
    topic,
    partition,
    offset: offset >= 0 ? offset : OFFSET_BEGINNING,
  }));
}

async function transact(session: Session, messages: readonly Message[]): Promise<void> {
  const { options, consumer, producer, store, stats } = session;
  // 1. Writers' schemas that are not known yet.
  for (const { topic } of options.processor.inputs) {
    await options.codecs
      .of(topic)
      .prepare(messages.filter((message) => message.topic === topic.name).map(({ value }) => value))
      .catch((cause: unknown) => {
        throw new Transient(`The schema registry did not answer: ${String(cause)}`, { cause });
      });
  }
  // 2. The steps, on staged state.
  const result = runBatch(options.processor, messages.map(rawRecord), {
    codecs: options.codecs,
    deadLetters: options.deadLetters,
    partitions: options.partitions,
    state: (partition) => store.reader(partition),
  });
  // 3. Outputs, state and offsets in one transaction.
  await call('beginning a transaction', (done) => producer.beginTransaction((error) => done(error, undefined)));
  produceAll(producer, result);
  await call('sending offsets', (done) =>
    producer.sendOffsetsToTransaction(nextOffsets(messages), consumer, 10_000, (error) => done(error, undefined)),
  );
  await call('committing', (done) =>
    producer.commitTransaction(TRANSACTION_TIMEOUT_MS, (error) => done(error, undefined)),
  );
  // 4. Committed: the staged state becomes the state.
  for (const [partition, entries] of result.changes) store.apply(partition, entries);
  stats.processed += messages.length;
  stats.transactions++;
  stats.deadLetters += result.deadLetters;
}

function produceAll(producer: Producer, { outgoing }: BatchResult): void {
  for (const { topic, partition, key, value, timestamp } of outgoing) {
    try {
      producer.produce(topic, partition, value, key, timestamp);
    } catch (cause) {
      throw new Transient(`Producing to ${topic} failed: ${String(cause)}`, { cause });
    }
  }
}

function nextOffsets(messages: readonly Message[]): TopicPartitionOffset[] {
  const next = new Map<string, TopicPartitionOffset>();
  for (const { topic, partition, offset } of messages)
    next.set(`${topic}/${String(partition)}`, { topic, partition, offset: offset + 1 });
  return [...next.values()];
}

function rawRecord({ topic, partition, offset, timestamp, key, value }: Message): RawRecord {
  return {
    topic,
    partition,
    offset,
    timestamp: timestamp ?? 0,
    key: typeof key === 'string' ? Buffer.from(key) : (key ?? null),
    value,
  };
}

/** Notes for each table that it reflects its topic up to the end: nobody else writes there, and nothing is open. */
async function checkpoint({ options, watermarks, store }: Session, partitions: readonly number[]): Promise<void> {
  for (const partition of partitions)
    store.apply(partition, [], await endOffset(watermarks, options.processor.table.name, partition));
}

type Ends = Map<string, TopicPartitionOffset>;

/** Remembers where the consumer met the end of a partition. */
function trackEnds(consumer: KafkaConsumer): Ends {
  const ends: Ends = new Map();
  consumer.on('partition.eof', (end: TopicPartitionOffset) => ends.set(`${end.topic}/${String(end.partition)}`, end));
  return ends;
}

/**
 * Commits the ends that were met. Behind the last record stands the marker of its transaction, so the offset after
 * the record is never the end of the partition, and a monitor would show a lag of one for ever.
 */
function commitEnds(consumer: KafkaConsumer, ends: Ends): void {
  if (ends.size === 0) return;
  consumer.commit([...ends.values()].map(({ topic, partition, offset }) => ({ topic, partition, offset })));
  ends.clear();
}

function producerConfig(kafka: KafkaConfig, name: string, transactionalId: string) {
  return {
    ...librdkafkaConfig(kafka, name),
    'transactional.id': transactionalId,
    'transaction.timeout.ms': TRANSACTION_TIMEOUT_MS,
    'queue.buffering.max.messages': 200_000,
    'queue.buffering.max.kbytes': 262_144,
    'message.max.bytes': 4 * 1024 * 1024,
    'batch.num.messages': 10_000,
    'linger.ms': 5,
    'compression.codec': 'none',
  } as const;
}
