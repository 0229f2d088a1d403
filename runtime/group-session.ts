/**
 * One membership of a consumer group, from joining to leaving, for the runners of processors and projections.
 *
 * Under load batches overlap: while one is committed the next is staged, and the one after it is read. Only staging and
 * reading run ahead, and neither leaves a trace: commits follow one another, and after a failure nothing more begins.
 *
 * The hard case is a process that was paused (SIGSTOP) in the middle of a batch: its partitions go to another member,
 * then it wakes and finishes. So a revocation is answered only when the running commit has ended, and records that were
 * consumed before it are dropped, staged or not.
 */
import type { KafkaConsumer, Message, TopicPartitionOffset } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import { librdkafkaConsumerConfig } from './kafka-clients.ts';
import { callNow, connectConsumer, consume, disconnect } from './rdkafka.ts';
import { asError } from './reason.ts';

/** A batch that was written. */
export interface CommittedBatch {
  readonly records: number;
  /** From the begin of its commit to its end; staging is not in it. */
  readonly seconds: number;
  readonly messages: readonly Message[];
  /** From the begin of its staging to the end of its commit, in milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
}

/** What a runner does at each turn of its membership. `S` is a batch of which nothing is written yet. */
export interface GroupMember<S> {
  readonly kafka: KafkaConfig;
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly maxBatch: number;
  /** Whether records gather before they are read: for `FETCH_WAIT_MS`, or until there are many. */
  readonly lingers?: boolean | undefined;
  readonly stopping: AbortSignal;
  /** Makes local state current for `partitions`, and gives the offsets to read from. */
  takeOver(consumer: KafkaConsumer, partitions: readonly TopicPartitionOffset[]): Promise<TopicPartitionOffset[]>;
  /**
   * Works out what records, in log order, amount to after the batches whose commit has begun. Changes nothing: what it
   * gives may be dropped.
   */
  stage(messages: readonly Message[]): Promise<S>;
  /** Writes what was staged. A failure ends the session. */
  commit(consumer: KafkaConsumer, staged: S): Promise<void>;
  /** Told of each batch after its commit. */
  readonly onCommit?: ((batch: CommittedBatch) => void) | undefined;
  /** Nothing more to read: `ends` are the ends of partitions that were met since the last call. */
  atEnds(consumer: KafkaConsumer, ends: readonly TopicPartitionOffset[]): Promise<void>;
  /** Called while no commit runs, before partitions are handed back and every now and then; not after a failure. */
  checkpoint(consumer: KafkaConsumer, partitions: readonly number[]): Promise<void>;
}

const CHECKPOINT_MS = 60_000;
/** A fetch is answered at once when enough has come; after this long when it has not, which is most of what an idle broker has to do. */
const FETCH_WAIT_MS = 100;
/**
 * What is enough: anything, or for a member that lingers some hundred records. A transaction costs the broker the same with one record
 * as with fifty, and so does a fetch. Kafka Streams, too, commits ten times a second where it processes exactly once.
 */
const ENOUGH_BYTES = 1;
const ENOUGH_BYTES_LINGERING = 64 * 1024;
/** Below this share of a full batch nothing is read ahead: what comes during a commit then goes into one batch. */
const BUSY_SHARE = 0.2;

interface Membership {
  /** Grows with each revocation; records consumed before it are not ours to process. */
  epoch: number;
  partitions: readonly number[];
  /** Ends of these partitions that were met and not told of yet. */
  readonly ends: Map<string, TopicPartitionOffset>;
  changing: Promise<void>;
  /** Ends with the batch that is being read. */
  reading: Promise<unknown>;
  /** While it is there, no batch may be read: the assignment is about to change. */
  closed: Promise<void> | undefined;
  running: Promise<void>;
  failure: Error | undefined;
}

/** Joins the group, works until `stopping`, and leaves. Rejects with what ended it otherwise. */
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
 * Begins `work` when the running one has ended; not after a failure, whose outcome is unknown, nor when the partitions
 * were revoked since `epoch`. Revocation waits for what has begun. Resolves when `work` has begun.
 */
async function whenIdle(
  membership: Membership,
  { epoch }: Pick<Membership, 'epoch'>,
  work: () => Promise<void>,
): Promise<void> {
  // Another one may have begun its work when this one comes to know that the last has ended.
  let ended: Promise<void>;
  do await (ended = membership.running);
  while (ended !== membership.running);
  if (membership.failure) return;
  if (epoch === membership.epoch) membership.running = work().catch((error: unknown) => fail(membership, error));
  else membership.ends.clear(); // they lie behind what is dropped, which its new owner reads
}

interface Batch {
  /** The membership's epoch when the reading began. */
  readonly epoch: number;
  readonly messages: readonly Message[];
}

/** Never rejects, because it may be read ahead: a failure ends the session where the loop looks. */
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
 * Changes the assignment between two batches. One that was read across the change would hold records of both
 * assignments: whether it were dropped or processed, some would be lost or come twice.
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

/** An end that records have gone past is one no more; storing it would move the position back. */
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
        membership.epoch++; // what was read since the revocation began is of the old assignment too
        membership.ends.clear(); // to store one now would move a successor's position
        await membership.running; // what has begun meanwhile
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
      // the consumer is gone, and with it its partitions; `failure` has the reason
    }
  });
}
