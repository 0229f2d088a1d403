/**
 * One membership of a consumer group, from joining to leaving, for the runners of processors and projections.
 *
 * The hard case is a process that was paused (SIGSTOP) in the middle of a batch: its partitions go to another member,
 * then it wakes and finishes. So a revocation is answered only when the running batch has ended, and records that were
 * consumed before it are dropped.
 */
import type { KafkaConsumer, Message, TopicPartitionOffset } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import { librdkafkaConsumerConfig } from './kafka-clients.ts';
import { connectConsumer, consume, disconnect } from './rdkafka.ts';

/** What a runner does at each turn of its membership. */
export interface GroupMember {
  readonly kafka: KafkaConfig;
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly maxBatch: number;
  readonly stopping: AbortSignal;
  /** Makes local state current for `partitions`, and gives the offsets to read from. */
  takeOver(consumer: KafkaConsumer, partitions: readonly TopicPartitionOffset[]): Promise<TopicPartitionOffset[]>;
  /** Handles records in log order. A failure ends the session. */
  process(consumer: KafkaConsumer, messages: readonly Message[]): Promise<void>;
  /** Nothing more to read: `ends` are the ends of partitions that were met since the last call. */
  atEnds(consumer: KafkaConsumer, ends: readonly TopicPartitionOffset[]): Promise<void>;
  /** Called while nothing runs, before partitions are handed back and every now and then; not after a failure. */
  checkpoint(partitions: readonly number[]): Promise<void>;
}

const CHECKPOINT_MS = 60_000;

interface Membership {
  /** Grows with each revocation; records consumed before it are not ours to process. */
  epoch: number;
  partitions: readonly number[];
  changing: Promise<void>;
  /** Ends with the batch that is being read. */
  reading: Promise<unknown>;
  /** While it is there, no batch may be read: the assignment is about to change. */
  closed: Promise<void> | undefined;
  running: Promise<void>;
  failure: Error | undefined;
}

/** Joins the group, works until `stopping`, and leaves. Rejects with what ended it otherwise. */
export async function runGroupSession(member: GroupMember, onAssigned: (partitions: number) => void): Promise<void> {
  const membership: Membership = {
    epoch: 0,
    partitions: [],
    changing: Promise.resolve(),
    reading: Promise.resolve(),
    closed: undefined,
    running: Promise.resolve(),
    failure: undefined,
  };
  const ends = new Map<string, TopicPartitionOffset>();
  const consumer: KafkaConsumer = await connectConsumer(
    librdkafkaConsumerConfig(member.kafka, member.groupId, member.groupId),
    (revoked, partitions) => {
      rebalance(member, membership, consumer, revoked, partitions, onAssigned);
    },
  );
  consumer.on('partition.eof', (end: TopicPartitionOffset) => ends.set(`${end.topic}/${String(end.partition)}`, end));
  try {
    consumer.subscribe([...member.topics]);
    let checkpointed = Date.now();
    let next = fetchBatch(member, membership, consumer);
    while (!member.stopping.aborted && !membership.failure) {
      const { epoch, messages } = await next;
      const current = epoch === membership.epoch;
      if (!current)
        ends.clear(); // revoked meanwhile: the new owner reads these records again
      else forgetPassed(ends, messages);
      // The next batch is read while this one is processed; not after an empty one, whose ends must be stored first.
      const ahead = current && messages.length > 0;
      if (ahead) {
        next = fetchBatch(member, membership, consumer);
        await exclusively(membership, member.process(consumer, messages));
      } else if (current && ends.size > 0) {
        const met = [...ends.values()].map(({ topic, partition, offset }) => ({ topic, partition, offset }));
        ends.clear();
        await exclusively(membership, member.atEnds(consumer, met));
      }
      if (!ahead) next = fetchBatch(member, membership, consumer);
      if (Date.now() - checkpointed > CHECKPOINT_MS) {
        await exclusively(membership, member.checkpoint(membership.partitions));
        checkpointed = Date.now();
      }
    }
    await next;
    await membership.changing;
    if (membership.failure) throw membership.failure;
    await member.checkpoint(membership.partitions);
    membership.partitions = [];
  } finally {
    await disconnect(consumer);
    onAssigned(0);
  }
}

interface Batch {
  /** The membership's epoch when the reading began. */
  readonly epoch: number;
  readonly messages: readonly Message[];
}

/** Never rejects, because it may be read ahead: a failure ends the session where the loop looks. */
async function fetchBatch(member: GroupMember, membership: Membership, consumer: KafkaConsumer): Promise<Batch> {
  while (membership.closed) await membership.closed;
  const { epoch } = membership;
  try {
    const reading = consume(consumer, member.maxBatch);
    membership.reading = reading.catch(() => undefined);
    return { epoch, messages: await reading };
  } catch (error) {
    fail(membership, error);
    return { epoch, messages: [] };
  }
}

/**
 * Changes the assignment between two batches. One that was read across the change would hold records of both
 * assignments: whether it were dropped or processed, some would be lost or come twice.
 */
async function betweenBatches(membership: Membership, change: () => void): Promise<void> {
  let open: () => void = () => undefined;
  membership.closed = new Promise((resolve) => (open = resolve));
  try {
    await membership.reading;
    change();
  } finally {
    membership.closed = undefined;
    open();
  }
}

/** An end that records have gone past is one no more; storing it would move the position back. */
function forgetPassed(ends: Map<string, TopicPartitionOffset>, messages: readonly Message[]): void {
  if (ends.size === 0) return;
  for (const { topic, partition, offset } of messages) {
    const place = `${topic}/${String(partition)}`;
    if (offset >= (ends.get(place)?.offset ?? Infinity)) ends.delete(place);
  }
}

function fail(membership: Membership, error: unknown): void {
  membership.failure ??= error instanceof Error ? error : new Error(String(error));
}

/**
 * Lets revocation wait for `work`. Once it fails its outcome is unknown, so this session must not note any more that
 * its state is current.
 */
async function exclusively(membership: Membership, work: Promise<void>): Promise<void> {
  membership.running = work.catch((error: unknown) => fail(membership, error));
  await membership.running;
}

function rebalance(
  member: GroupMember,
  membership: Membership,
  consumer: KafkaConsumer,
  revoked: boolean,
  partitions: readonly TopicPartitionOffset[],
  onAssigned: (partitions: number) => void,
): void {
  if (revoked) membership.epoch++;
  const change = async () => {
    if (revoked) {
      await membership.running;
      if (!membership.failure) await member.checkpoint(membership.partitions);
      membership.partitions = [];
      await betweenBatches(membership, () => {
        membership.epoch++; // what was read since the revocation began is of the old assignment too
        consumer.unassign();
      });
    } else {
      const offsets = await member.takeOver(consumer, partitions);
      membership.partitions = [...new Set(partitions.map(({ partition }) => partition))];
      await betweenBatches(membership, () => consumer.assign(offsets));
    }
    onAssigned(membership.partitions.length);
  };
  membership.changing = membership.changing.then(change).catch((error: unknown) => {
    fail(membership, error);
    if (revoked) consumer.unassign();
  });
}
