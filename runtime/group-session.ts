/**
 * One membership of a consumer group, from joining to leaving, for the runners of processors and projections.
 *
 * Under load batches overlap: while one is committed, the next is staged and the one after it is read. Only staging and
 * reading run ahead, and neither changes anything outside the session. Commits follow one another, and after a failure
 * nothing more starts.
 *
 * The hard case is a process that was paused (SIGSTOP) in the middle of a batch: its partitions go to another member,
 * then it resumes and finishes the batch. So a revocation is answered only when the running commit has ended, and records
 * that were consumed before the revocation are dropped, staged or not.
 */
import type { KafkaConsumer, Message, TopicPartitionOffset } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import { librdkafkaConsumerConfig } from './kafka-clients.ts';
import { callNow, connectConsumer, consume, disconnect } from './rdkafka.ts';
import { asError } from './reason.ts';

/** A batch that was written. */
export interface CommittedBatch {
  readonly records: number;
  /** Duration of the commit, without staging. */
  readonly seconds: number;
  readonly messages: readonly Message[];
  /** Start of the staging and end of the commit, in milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
}

/** What a runner does at each point of its membership. `S` is a staged batch: nothing of it is written yet. */
export interface GroupMember<S> {
  readonly kafka: KafkaConfig;
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly maxBatch: number;
  /** Whether records gather before they are read: for `FETCH_WAIT_MS`, or until there are `ENOUGH_BYTES_LINGERING`. */
  readonly lingers?: boolean | undefined;
  readonly stopping: AbortSignal;
  /** Makes local state current for `partitions`, and returns the offsets to read from. */
  takeOver(consumer: KafkaConsumer, partitions: readonly TopicPartitionOffset[]): Promise<TopicPartitionOffset[]>;
  /**
   * Computes the results of records, given in log order, on top of the batches whose commit has begun. Changes nothing,
   * because the staged batch may be dropped.
   */
  stage(messages: readonly Message[]): Promise<S>;
  /** Writes what was staged. A failure ends the session. */
  commit(consumer: KafkaConsumer, staged: S): Promise<void>;
  /** Called after the commit of each batch. */
  readonly onCommit?: ((batch: CommittedBatch) => void) | undefined;
  /** Called when there is nothing more to read. `ends` are the ends of partitions that were reached since the last call. */
  atEnds(consumer: KafkaConsumer, ends: readonly TopicPartitionOffset[]): Promise<void>;
  /** Called before partitions are handed back, and about once a minute; never during a commit or after a failure. */
  checkpoint(consumer: KafkaConsumer, partitions: readonly number[]): Promise<void>;
}

const CHECKPOINT_MS = 60_000;
/** The broker answers a fetch when enough bytes have arrived, or after this time. An idle broker does little else than answer such fetches. */
const FETCH_WAIT_MS = 100;
/**
 * How many bytes are enough: any number, or some hundred records for a member that lingers. A transaction costs the broker the same with
 * one record as with fifty, and so does a fetch. Kafka Streams also commits ten times a second when it processes exactly once.
 */
const ENOUGH_BYTES = 1;
const ENOUGH_BYTES_LINGERING = 64 * 1024;
/** After a batch below this share of a full one nothing is read ahead, so that records that arrive during its commit form one batch. */
const BUSY_SHARE = 0.2;

interface Membership {
  /** Grows with each revocation. Records that were consumed in an earlier epoch must not be processed. */
  epoch: number;
  partitions: readonly number[];
  /** Ends of these partitions that were reached and not yet passed to `atEnds`, by `topic/partition`. */
  readonly ends: Map<string, TopicPartitionOffset>;
  changing: Promise<void>;
  /** Resolves when the batch that is being read is complete. */
  reading: Promise<unknown>;
  /** While this is set, no batch may be read, because the assignment is about to change. */
  closed: Promise<void> | undefined;
  running: Promise<void>;
  failure: Error | undefined;
}

/** Joins the group, works until `stopping`, and leaves. Rejects with the error that ended the session. */
export async function runGroupSession<S>(
  member: GroupMember<S>,
  onAssigned: (partitions: number) => void,
): Promise<void> {
  const membership: Membership = {
    epoch: 0,
    partitions: [],
    ends: new Map(),
    changing: Promise.resolve(),
    reading: Promise.resolve(),
    closed: undefined,
    running: Promise.resolve(),
    failure: undefined,
  };
  const { ends } = membership;
  const consumer: KafkaConsumer = await connectConsumer(
    {
      ...librdkafkaConsumerConfig(member.kafka, member.groupId, member.groupId),
      'fetch.wait.max.ms': FETCH_WAIT_MS,
      'fetch.min.bytes': member.lingers ? ENOUGH_BYTES_LINGERING : ENOUGH_BYTES,
    },
    (revoked, partitions) => {
      rebalance(member, membership, consumer, revoked, partitions, onAssigned);
    },
  );
  consumer.on('partition.eof', (end: TopicPartitionOffset) => ends.set(`${end.topic}/${String(end.partition)}`, end));
  try {
    callNow('subscribing', () => consumer.subscribe([...member.topics]));
    let checkpointed = Date.now();
    let ahead: Promise<Batch> | undefined;
    while (!member.stopping.aborted && !membership.failure) {
      const batch = await (ahead ?? fetchBatch(member, membership, consumer));
      ahead = undefined;
      if (batch.messages.length > 0) {
        forgetPassed(ends, batch.messages);
        const busy = batch.messages.length > member.maxBatch * BUSY_SHARE;
        if (busy) ahead = fetchBatch(member, membership, consumer);
        await handle(member, membership, consumer, batch);
        if (!busy) await membership.running;
      } else if (ends.size > 0) {
        const met = [...ends.values()].map(({ topic, partition, offset }) => ({ topic, partition, offset }));
        ends.clear();
        await whenIdle(membership, batch, () => member.atEnds(consumer, met));
        await membership.running;
      }
      if (Date.now() - checkpointed > CHECKPOINT_MS) {
        await whenIdle(membership, batch, () => member.checkpoint(consumer, membership.partitions));
        await membership.running;
        checkpointed = Date.now();
      }
    }
    await ahead;
    await membership.running;
    await membership.changing;
    await whenIdle(membership, membership, () => member.checkpoint(consumer, membership.partitions));
    await membership.running;
    if (membership.failure) throw membership.failure;
    membership.partitions = [];
  } finally {
    await disconnect(consumer);
    onAssigned(0);
  }
}

/** Stages a batch while the one before it may still be committed, then begins its commit. */
async function handle<S>(
  member: GroupMember<S>,
  membership: Membership,
  consumer: KafkaConsumer,
  batch: Batch,
): Promise<void> {
  try {
    const from = Date.now();
    const staged = await member.stage(batch.messages);
    await whenIdle(membership, batch, () => commit(member, consumer, staged, batch.messages, from));
  } catch (error) {
    fail(membership, error);
  }
}

async function commit<S>(
  member: GroupMember<S>,
  consumer: KafkaConsumer,
  staged: S,
  messages: readonly Message[],
  from: number,
): Promise<void> {
  const began = performance.now();
  await member.commit(consumer, staged);
  const seconds = (performance.now() - began) / 1000;
  member.onCommit?.({ records: messages.length, seconds, messages, from, to: Date.now() });
}

/**
 * Starts `work` when the running work has ended, unless that failed, because its outcome is then unknown, or partitions
 * were revoked since `epoch`. A revocation waits for work that has started. Resolves when `work` has started.
 */
async function whenIdle(
  membership: Membership,
  { epoch }: Pick<Membership, 'epoch'>,
  work: () => Promise<void>,
): Promise<void> {
  // When this call resumes after the running work has ended, another call may already have started its work.
  let ended: Promise<void>;
  do await (ended = membership.running);
  while (ended !== membership.running);
  if (membership.failure) return;
  if (epoch === membership.epoch) membership.running = work().catch((error: unknown) => fail(membership, error));
  else membership.ends.clear(); // these ends come after the dropped records, which the new owner reads
}

interface Batch {
  /** The membership's epoch when the reading began. */
  readonly epoch: number;
  readonly messages: readonly Message[];
}

/** Never rejects, because it may be called ahead, when nobody awaits it yet. The loop ends the session when it sees the failure. */
async function fetchBatch<S>(member: GroupMember<S>, membership: Membership, consumer: KafkaConsumer): Promise<Batch> {
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
 * Changes the assignment between two batches. A batch that was read across the change would hold records of both
 * assignments: dropping it would lose some of them, and processing it would repeat some.
 */
async function betweenBatches(membership: Membership, change: () => void | Promise<void>): Promise<void> {
  let open: () => void = () => undefined;
  membership.closed = new Promise((resolve) => (open = resolve));
  try {
    await membership.reading;
    await change();
  } finally {
    membership.closed = undefined;
    open();
  }
}

/** Forgets ends that later records have passed: storing such an end would move the position back. */
function forgetPassed(ends: Map<string, TopicPartitionOffset>, messages: readonly Message[]): void {
  if (ends.size === 0) return;
  for (const { topic, partition, offset } of messages) {
    const place = `${topic}/${String(partition)}`;
    if (offset >= (ends.get(place)?.offset ?? Infinity)) ends.delete(place);
  }
}

function fail(membership: Membership, error: unknown): void {
  membership.failure ??= asError(error);
}

function rebalance<S>(
  member: GroupMember<S>,
  membership: Membership,
  consumer: KafkaConsumer,
  revoked: boolean,
  partitions: readonly TopicPartitionOffset[],
  onAssigned: (partitions: number) => void,
): void {
  if (revoked) membership.epoch++;
  const change = async () => {
    if (revoked) {
      await whenIdle(membership, membership, () => member.checkpoint(consumer, membership.partitions));
      await membership.running;
      membership.partitions = [];
      await betweenBatches(membership, async () => {
        membership.epoch++; // records read since the revocation began belong to the old assignment too
        membership.ends.clear(); // storing an end now would move the successor's position
        await membership.running; // work that has started meanwhile
        callNow('handing partitions back', () => consumer.unassign());
      });
    } else {
      const offsets = await member.takeOver(consumer, partitions);
      membership.partitions = [...new Set(partitions.map(({ partition }) => partition))];
      await betweenBatches(membership, () => void callNow('taking partitions', () => consumer.assign(offsets)));
    }
    onAssigned(membership.partitions.length);
  };
  membership.changing = membership.changing.then(change).catch((error: unknown) => {
    fail(membership, error);
    try {
      if (revoked) consumer.unassign();
    } catch {
      // the consumer is closed and has no partitions any more; `failure` has the reason
    }
  });
}
