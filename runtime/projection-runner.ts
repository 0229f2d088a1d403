/**
 * Runs one projection effectively once: rows and offsets go to Postgres in one transaction, and reading starts from
 * the offsets that are there. Offsets are committed to Kafka for monitors only.
 */
import type { KafkaConsumer, Message, TopicPartitionOffset } from 'node-rdkafka';
import type { Pool, PoolClient } from 'pg';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import type { Poisoned, RawRecord } from '../stream/batch.ts';
import { at, placeOf } from '../stream/place.ts';
import type { Poison } from '../stream/poison.ts';
import type { Projection } from '../stream/projection.ts';
import type { Codec } from './codec.ts';
import { logPoisoned } from './dead-letter-writer.ts';
import { runGroupSession } from './group-session.ts';
import type { CommittedBatch } from './group-session.ts';
import { mayPass } from './may-pass.ts';
import { BEGIN, inTransaction } from './postgres-pool.ts';
import {
  advance,
  applyBatch,
  encodeBatch,
  holdPartition,
  isEmpty,
  mustNotGoBack,
  sendBatch,
} from './projection-store.ts';
import type { EncodedBatch, HeldPartition } from './projection-store.ts';
import { callNow, rawRecord } from './rdkafka.ts';
import { assignedTo, runMember } from './sessions.ts';
import type { Member, MemberStats } from './sessions.ts';

/** What a projection needs to run. */
export interface ProjectionRunnerOptions {
  readonly projection: Projection;
  readonly kafka: KafkaConfig;
  readonly codec: Codec<unknown>;
  readonly pool: Pool;
  readonly log: Logger;
  /** Handles a record that can't be projected; the batch continues when it resolves. */
  readonly onPoison: (record: RawRecord, poison: Poison) => Promise<void>;
  /** Called after each committed transaction. */
  readonly onCommit?: (batch: CommittedBatch) => void;
}

const MAX_BATCH = 10_000;
/** How long offsets of batches without a row may stay unstored, unless a row, a dead letter or the end of a partition comes first. */
const STORE_MS = 1000;
/**
 * When the host of Postgres disappears, a connection reports no error for a quarter of an hour. So a transaction fails after this time: before
 * the group removes a process that gives no sign of life (5 min), and after the wait for a lock, which a rebuild may hold.
 */
const MAX_TRANSACTION_MS = 240_000;

const NO_ROWS: EncodedBatch = { upserts: undefined, deletes: [] };

/** Starts `projection`. Returns at once; sessions come and go in the background. */
export function startProjection(options: ProjectionRunnerOptions): Member {
  return runMember(options.log, (stopping, stats) => runSession(options, stopping, stats));
}

interface Session {
  readonly options: ProjectionRunnerOptions;
  readonly stats: MemberStats;
  /** The positions that Postgres has stored. */
  readonly held: Map<number, HeldPartition>;
  /** Next offsets by partition that are not stored yet, because no record before them gave a row. */
  readonly passed: Map<number, number>;
  storedAt: number;
}

async function runSession(options: ProjectionRunnerOptions, stopping: AbortSignal, stats: MemberStats): Promise<void> {
  const { projection, kafka } = options;
  const session: Session = { options, stats, held: new Map(), passed: new Map(), storedAt: 0 };
  await runGroupSession(
    {
      kafka,
      groupId: projection.name,
      topics: [projection.topic.name],
      maxBatch: MAX_BATCH,
      lingers: projection.lingers,
      stopping,
      takeOver: (_, partitions) => takeOver(session, partitions),
      stage: (messages) => stage(options, messages),
      commit: (_, staged) => commit(session, staged),
      onCommit: options.onCommit,
      atEnds: (consumer, ends) => storeEnds(session, consumer, ends),
      checkpoint: () => store(session),
    },
    assignedTo(stats),
  );
}

async function takeOver(
  { options: { projection, pool }, held, passed }: Session,
  partitions: readonly TopicPartitionOffset[],
): Promise<TopicPartitionOffset[]> {
  held.clear();
  passed.clear();
  const hold = async (client: PoolClient) => {
    for (const { partition } of partitions) held.set(partition, await holdPartition(client, projection, partition));
  };
  await inTransaction(pool, hold, BEGIN, MAX_TRANSACTION_MS);
  return partitions.map(({ topic, partition }) => ({ topic, partition, offset: held.get(partition)?.nextOffset ?? 0 }));
}

interface StagedBatch {
  readonly batch: EncodedBatch;
  readonly poisoned: readonly Poisoned[];
  readonly records: number;
  /** The lowest offset that was read. */
  readonly first: Offsets;
  /** The next offset. */
  readonly next: Offsets;
}

/** One offset of each partition. */
type Offsets = ReadonlyMap<number, number>;

async function stage(
  { projection, codec }: ProjectionRunnerOptions,
  messages: readonly Message[],
): Promise<StagedBatch> {
  const first = new Map<number, number>();
  const next = new Map<number, number>();
  for (const { partition, offset } of messages) {
    if (!(offset >= (first.get(partition) ?? Infinity))) first.set(partition, offset);
    next.set(partition, offset + 1);
  }
  const poisoned: Poisoned[] = [];
  await codec.prepare(messages.map(({ value }) => value));
  const batch = encodeBatch(projection, messages.map(rawRecord), {
    decode: (bytes) => codec.decode(bytes),
    onPoison: (record, poison) => void poisoned.push([record, poison]),
  });
  return { batch, poisoned, records: messages.length, first, next };
}

async function commit(session: Session, { batch, poisoned, records, first, next }: StagedBatch): Promise<void> {
  const { options, stats } = session;
  const { projection, log, onPoison } = options;
  pass(session, next, first);
  for (const [record, poison] of poisoned) await onPoison(record, poison);
  if (!isEmpty(batch))
    await store(session, batch).catch((error: unknown) => {
      // An error that may pass is not about these rows.
      throw mayPass(error) ? error : at(rowsOf(projection, first, next), error);
    });
  else if (poisoned.length > 0 || Date.now() - session.storedAt >= STORE_MS) await store(session);
  stats.processed += records;
  stats.transactions++;
  stats.deadLetters += poisoned.length;
  logPoisoned(log, [projection.topic], poisoned);
}

/** Where the rows of a batch come from. */
function rowsOf({ name, topic }: Projection, first: Offsets, next: Offsets): string {
  const ranges = [...first].map(([partition, from]) => {
    const to = (next.get(partition) ?? from + 1) - 1;
    return `${placeOf({ topic: topic.name, partition, offset: from })}${to > from ? ` to ${String(to)}` : ''}`;
  });
  return `${name}, rows from ${ranges.join(', ')}`;
}

/** Sets the next offsets after a batch that starts at the offsets `first`. @throws LostRecords when `first` is before what is stored. */
function pass({ options, held, passed }: Session, next: Offsets, first = next): void {
  for (const [partition, offset] of first) {
    const position = held.get(partition);
    if (position) mustNotGoBack(options.projection, position, offset);
  }
  for (const [partition, offset] of next) passed.set(partition, offset);
}

/**
 * Stores the ends that were reached. A transaction marker follows the last record; without this the projection would always show a lag
 * of one.
 */
async function storeEnds(
  session: Session,
  consumer: KafkaConsumer,
  ends: readonly TopicPartitionOffset[],
): Promise<void> {
  pass(session, new Map(ends.map(({ partition, offset }) => [partition, offset])));
  await store(session);
  callNow('committing ends', () => consumer.commit([...ends]));
}

/** Stores the rows of a batch and the next offsets, in one transaction. */
async function store(session: Session, batch: EncodedBatch = NO_ROWS): Promise<void> {
  const { held, passed } = session;
  const { projection, pool } = session.options;
  const moves = [...passed].flatMap(([partition, offset]) => {
    const position = held.get(partition);
    return position && offset > position.nextOffset ? [{ position, offset }] : [];
  });
  passed.clear(); // a failure ends the session
  session.storedAt = Date.now();
  if (moves.length === 0) return;
  const write = async (client: PoolClient) => {
    await sendBatch(client, projection, batch);
    await advance(client, projection, moves);
    await applyBatch(client, projection, batch);
  };
  await inTransaction(pool, write, BEGIN, MAX_TRANSACTION_MS);
  for (const { position, offset } of moves) position.nextOffset = offset;
}
