/**
 * Runs one processor exactly once on Kafka transactions. The steps are numbered in `stage` and `commit`.
 *
 * A session is a consumer, a transactional producer and the tables of the assigned partitions. Every temporary failure is
 * handled in the same way: the session is closed, what was staged is dropped, and a new session starts from what is committed.
 */
import { randomUUID } from 'node:crypto';
import type { KafkaConsumer, Message, Producer, TopicPartitionOffset } from 'node-rdkafka';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import type { DeadLetter } from '../schemas/types.ts';
import type { BatchResult } from '../stream/batch.ts';
import { runBatch } from '../stream/batch.ts';
import type { Processor } from '../stream/processor.ts';
import type { Topic } from '../stream/topic.ts';
import { logPoisoned } from './dead-letter-writer.ts';
import { librdkafkaConfig, MAX_MESSAGE_BYTES } from './kafka-clients.ts';
import {
  beginTransaction,
  callNow,
  commitTransaction,
  committedOffsets,
  connectProducer,
  disconnect,
  headersOf,
  OFFSET_BEGINNING,
  rawRecord,
  sendOffsets,
  TRANSACTION_TIMEOUT_MS,
} from './rdkafka.ts';
import type { Codecs } from './schema-registry.ts';
import { openStateStore } from './state-store.ts';
import type { StateStore } from './state-store.ts';
import { restoreTable } from './restore.ts';
import { runGroupSession } from './group-session.ts';
import type { CommittedBatch } from './group-session.ts';
import { assignedTo, runMember } from './sessions.ts';
import type { Member, MemberStats } from './sessions.ts';
import { openWatermarks } from './watermarks.ts';
import type { Watermarks } from './watermarks.ts';

/** What a processor needs to run. */
export interface ProcessorRunnerOptions {
  readonly processor: Processor;
  readonly kafka: KafkaConfig;
  readonly codecs: Codecs;
  readonly deadLetters: Topic<DeadLetter>;
  /** Partitions of every topic. */
  readonly partitions: number;
  /** Folder of the processor's tables. */
  readonly stateFolder: string;
  readonly log: Logger;
  /** Called after each committed transaction. */
  readonly onCommit?: (batch: CommittedBatch) => void;
}

/** Most records in a transaction. */
const MAX_BATCH = 5000;

/** Starts `processor`. Returns at once; sessions come and go in the background. */
export function startProcessor(options: ProcessorRunnerOptions): Member {
  return runMember(options.log, (stopping, stats) => runSession(options, stopping, stats));
}

interface Session {
  readonly options: ProcessorRunnerOptions;
  readonly producer: Producer;
  readonly watermarks: Watermarks;
  readonly store: StateStore;
  readonly stats: MemberStats;
  /** Resolves when the changes of the last commit are in the store. */
  written: Promise<void>;
  /** The group's next offset of each partition, by `topic/partition`. */
  readonly positions: Map<string, TopicPartitionOffset>;
}

async function runSession(options: ProcessorRunnerOptions, stopping: AbortSignal, stats: MemberStats): Promise<void> {
  const { processor, kafka } = options;
  const id = `${processor.name}-${randomUUID()}`;
  const closers: (() => Promise<void>)[] = [];
  try {
    const store = await openStateStore(options.stateFolder, options.log);
    closers.push(() => store.close());
    const producer = await connectProducer(producerConfig(kafka, processor.name, id));
    closers.push(() => disconnect(producer));
    await beginTransaction(producer);
    const watermarks = await openWatermarks(kafka, processor.name);
    closers.push(() => watermarks.close());
    const session: Session = {
      options,
      producer,
      watermarks,
      store,
      stats,
      written: Promise.resolve(),
      positions: new Map(),
    };
    await runGroupSession(
      {
        kafka,
        groupId: processor.name,
        topics: processor.inputs.map(({ topic }) => topic.name),
        maxBatch: MAX_BATCH,
        lingers: processor.lingers,
        stopping,
        takeOver: (consumer, partitions) => takeOver(session, consumer, partitions),
        stage: (messages) => stage(session, messages),
        commit: (consumer, staged) => commit(session, consumer, staged),
        onCommit: options.onCommit,
        // A transaction marker follows the last record: without this commit a monitor would always show a lag. The consumer's own commit is
        // not used, because the client may send it late, after it has found its coordinator again, and so move the group back.
        async atEnds(consumer, ends) {
          await commitOffsets(session, consumer, ends);
          moveTo(session, ends);
        },
        checkpoint: (consumer, partitions) => checkpoint(session, consumer, partitions),
      },
      assignedTo(stats),
    );
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

/**
 * Makes the tables of `partitions` current and returns the offsets to read from. The committed offsets come first: they are known once no
 * open transaction can move them, so the table's topic then holds everything that belongs to them. In the other order the last
 * transaction of the previous owner could be missed.
 */
async function takeOver(
  session: Session,
  consumer: KafkaConsumer,
  partitions: readonly TopicPartitionOffset[],
): Promise<TopicPartitionOffset[]> {
  const { options, watermarks, store } = session;
  const committed = await committedOffsets(consumer, partitions);
  const { processor, kafka, log } = options;
  // Another release may have written to the table since this process started.
  await options.codecs.of(processor.table).prepareAll();
  for (const partition of new Set(partitions.map((p) => p.partition))) {
    const started = Date.now();
    const restored = await restoreTable({
      topic: processor.table.name,
      partition,
      store,
      watermarks,
      kafka,
    });
    log.debug({ partition, restored, ms: Date.now() - started }, 'table is current');
  }
  session.positions.clear();
  moveTo(
    session,
    committed.filter(({ offset }) => offset >= 0),
  );
  const offsets = await startingOffsets(session, committed);
  log.info(
    { partitions: partitions.map(({ topic, partition }) => `${topic}/${String(partition)}`) },
    'partitions taken over',
  );
  return offsets;
}

/**
 * The offsets to continue from. Only this check notices records that expired before they were processed, and processed records that the
 * topic has lost, for example in a power cut. In that case everything that is left is read again; known records change nothing.
 */
async function startingOffsets(
  { options: { log }, watermarks }: Session,
  committed: readonly TopicPartitionOffset[],
): Promise<TopicPartitionOffset[]> {
  const from: TopicPartitionOffset[] = [];
  for (const { topic, partition, offset } of committed) {
    const { low, high } = await watermarks.of(topic, partition);
    if (offset >= 0 && offset < low)
      log.error({ topic, partition, records: low - offset }, 'records expired before they were processed');
    if (offset > high)
      log.error(
        { topic, partition, end: high, committed: offset },
        'processed records are lost; reading again what is left',
      );
    from.push({ topic, partition, offset: offset >= 0 && offset <= high ? offset : OFFSET_BEGINNING });
  }
  return from;
}

interface StagedBatch {
  readonly result: BatchResult;
  readonly records: number;
  readonly offsets: TopicPartitionOffset[];
}

async function stage({ options, store }: Session, messages: readonly Message[]): Promise<StagedBatch> {
  // 1. Fetch the writers' schemas that are not known yet.
  for (const { topic } of options.processor.inputs) {
    await options.codecs
      .of(topic)
      .prepare(messages.filter((message) => message.topic === topic.name).map(({ value }) => value));
  }
  // 2. Run the steps on the state that the previous batches leave.
  const result = runBatch(options.processor, messages.map(rawRecord), {
    codecs: options.codecs,
    deadLetters: options.deadLetters,
    partitions: options.partitions,
    state: (partition) => store.reader(partition),
  });
  return { result, records: messages.length, offsets: nextOffsets(messages) };
}

async function commit(
  session: Session,
  consumer: KafkaConsumer,
  { result, records, offsets }: StagedBatch,
): Promise<void> {
  const { producer, store, stats } = session;
  const { processor, log } = session.options;
  // 3. Stage the changes for the next batch. If this batch fails, both are dropped with the session.
  const changes = store.stage(result.changes);
  // 4. Send outputs, state and offsets in the transaction that was begun in advance. Nothing is awaited before all of it is queued, so
  //    the client sends while the next batch is staged.
  const sending = sendOffsets(producer, offsets, consumer);
  try {
    produceAll(producer, result);
  } finally {
    await sending;
  }
  await commitTransaction(producer);
  await beginTransaction(producer);
  // 5. Committed: the changes go into the store, one batch at a time.
  await session.written;
  session.written = changes.write();
  session.written.catch(() => undefined); // the next commit or checkpoint sees it
  moveTo(session, offsets);
  stats.processed += records;
  stats.transactions++;
  stats.deadLetters += result.poisoned.length;
  logPoisoned(
    log,
    processor.inputs.map(({ topic }) => topic),
    result.poisoned,
  );
}

/** Commits a transaction with only offsets. Kafka accepts them only from a member of the current generation. */
async function commitOffsets(
  { producer }: Session,
  consumer: KafkaConsumer,
  offsets: readonly TopicPartitionOffset[],
): Promise<void> {
  await sendOffsets(producer, [...offsets], consumer);
  await commitTransaction(producer);
  await beginTransaction(producer);
}

function moveTo({ positions }: Session, offsets: readonly TopicPartitionOffset[]): void {
  for (const { topic, partition, offset } of offsets)
    positions.set(`${topic}/${String(partition)}`, { topic, partition, offset });
}

function produceAll(producer: Producer, { outgoing }: BatchResult): void {
  for (const { topic, partition, key, value, timestamp, traceparent } of outgoing)
    callNow(`producing to ${topic}`, () => {
      producer.produce(topic, partition, value, key, timestamp, undefined, headersOf(traceparent));
    });
}

function nextOffsets(messages: readonly Message[]): TopicPartitionOffset[] {
  const next = new Map<string, Map<number, number>>();
  for (const { topic, partition, offset } of messages) {
    let offsets = next.get(topic);
    if (!offsets) next.set(topic, (offsets = new Map<number, number>()));
    offsets.set(partition, offset + 1);
  }
  return [...next].flatMap(([topic, offsets]) =>
    [...offsets].map(([partition, offset]) => ({ topic, partition, offset })),
  );
}

/**
 * Records that each table reflects its topic up to the current end. This holds only if no other process has written there, so the end is
 * recorded only after Kafka has accepted offsets from this member, which proves that it is of the current generation. Otherwise a
 * process that was paused and has lost its partitions would record ends that include the new owner's writes.
 */
async function checkpoint(session: Session, consumer: KafkaConsumer, partitions: readonly number[]): Promise<void> {
  const { options, watermarks, store, positions } = session;
  await session.written;
  await store.sweep(partitions);
  if (partitions.length === 0 || positions.size === 0) return; // it has done nothing yet
  const ends: (readonly [number, number])[] = [];
  for (const partition of partitions)
    ends.push([partition, (await watermarks.of(options.processor.table.name, partition)).high]);
  await commitOffsets(session, consumer, [...positions.values()]);
  for (const [partition, end] of ends) store.apply(partition, [], end);
}

function producerConfig(kafka: KafkaConfig, name: string, transactionalId: string) {
  return {
    ...librdkafkaConfig(kafka, name),
    'transactional.id': transactionalId,
    'transaction.timeout.ms': TRANSACTION_TIMEOUT_MS,
    'queue.buffering.max.messages': 200_000,
    'queue.buffering.max.kbytes': 262_144,
    'message.max.bytes': MAX_MESSAGE_BYTES,
    'batch.num.messages': 10_000,
    'linger.ms': 5,
    'compression.codec': 'none',
  } as const;
}
