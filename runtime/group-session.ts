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
  running: Promise<void>;
  failure: Error | undefined;
}

/** Joins the group, works until `stopping`, and leaves. Rejects with what ended it otherwise. */
export async function runGroupSession(member: GroupMember, onAssigned: (partitions: number) => void): Promise<void> {
  const membership: Membership = {
    epoch: 0,
    partitions: [],
    changing: Promise.resolve(),
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
    while (!member.stopping.aborted && !membership.failure) {
      const epoch = membership.epoch;
      const messages = await consume(consumer, member.maxBatch);
      if (epoch !== membership.epoch) {
        ends.clear(); // revoked meanwhile: the new owner reads these records again
      } else if (messages.length > 0) {
        await exclusively(membership, member.process(consumer, messages));
      } else if (ends.size > 0) {
        const met = [...ends.values()].map(({ topic, partition, offset }) => ({ topic, partition, offset }));
        ends.clear();
        await exclusively(membership, member.atEnds(consumer, met));
      }
      if (Date.now() - checkpointed > CHECKPOINT_MS) {
        await exclusively(membership, member.checkpoint(membership.partitions));
        checkpointed = Date.now();
      }
    }
    await membership.changing;
    if (membership.failure) throw membership.failure;
    await member.checkpoint(membership.partitions);
    membership.partitions = [];
  } finally {
    await disconnect(consumer);
    onAssigned(0);
  }
}

/**
 * Lets revocation wait for `work`. Once it fails its outcome is unknown, so this session must not note any more that
 * its state is current.
 */
async function exclusively(membership: Membership, work: Promise<void>): Promise<void> {
  membership.running = work.catch((error: unknown) => {
    membership.failure ??= error instanceof Error ? error : new Error(String(error));
  });
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
      consumer.unassign();
    } else {
      const offsets = await member.takeOver(consumer, partitions);
      membership.partitions = [...new Set(partitions.map(({ partition }) => partition))];
      consumer.assign(offsets);
    }
    onAssigned(membership.partitions.length);
  };
  membership.changing = membership.changing.then(change).catch((error: unknown) => {
    membership.failure ??= error instanceof Error ? error : new Error(String(error));
    if (revoked) consumer.unassign();
  });
}
