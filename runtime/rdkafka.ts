/** node-rdkafka with promises: a call that fails throws a Transient that says what was being done. */
import { createRequire } from 'node:module';
import rdkafka from 'node-rdkafka';
import type {
  ConsumerGlobalConfig,
  KafkaConsumer,
  LibrdKafkaError,
  Message,
  MessageHeader,
  Producer,
  ProducerGlobalConfig,
  ProducerTopicConfig,
  TopicPartitionOffset,
} from 'node-rdkafka';
import type { RawRecord } from '../stream/batch.ts';
import { parseTraceparent, TRACEPARENT } from '../stream/trace.ts';
import { reasonOf } from './reason.ts';
import { within } from './within.ts';

/** A temporary failure: the session ends, and a new one repeats the work after a pause. */
export class Transient extends Error {
  override readonly name = 'Transient';
}

/** librdkafka's logical offset "from the beginning". */
export const OFFSET_BEGINNING = -2;

const CALL_MS = 10_000;
/** The open transaction of a killed process holds readers back for at most this long. */
export const TRANSACTION_TIMEOUT_MS = 10_000;
/** How long one consume call waits for a record. */
const WAIT_MS = 100;
const MAX_EMPTY = 300;
const CLOSE_MS = 20_000;

type Done<T> = (error: LibrdKafkaError | Error | null | undefined, value: T) => void;

/** Waits for a callback call. @throws Transient with the client's error as its cause. */
export function call<T = void>(what: string, start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => {
      reject(new Transient(`${what} failed: ${reasonOf(cause)}`, { cause }));
    };
    try {
      start((error, value) => {
        if (error) fail(error);
        else resolve(value);
      });
    } catch (cause) {
      fail(cause);
    }
  });
}

/** Makes a synchronous call. @throws Transient with the client's error as its cause. */
export function callNow<T>(what: string, start: () => T): T {
  try {
    return start();
  } catch (cause) {
    throw new Transient(`${what} failed: ${reasonOf(cause)}`, { cause });
  }
}

/** Makes the client's errors, from a code or from librdkafka's text. The package does not export it. */
const { create } = createRequire(import.meta.url)('node-rdkafka/lib/error.js') as {
  readonly create: (of: number | Error) => LibrdKafkaError;
};

/** An error as the client gives it in delivery reports and events: with librdkafka's shortened text for `code`, but the code is always -1. */
export function reportedError(code: number): LibrdKafkaError {
  return create(new Error(create(code).message));
}

const CODES: ReadonlyMap<string, number> = new Map(
  Object.values(rdkafka.CODES.ERRORS).map((code) => [reportedError(code).message, code]),
);

/** librdkafka's code of an error, also where the client lost it (`reportedError`); undefined for other errors. */
export function codeOf(error: LibrdKafkaError | Error): number | undefined {
  return CODES.get(error.message) ?? ('code' in error ? error.code : undefined);
}

/** Connects a consumer. `onRebalance` must answer each assignment with `assign` and each revocation with `unassign`. */
export async function connectConsumer(
  config: ConsumerGlobalConfig,
  onRebalance?: (revoked: boolean, partitions: readonly TopicPartitionOffset[]) => void,
): Promise<KafkaConsumer> {
  const { ERR__ASSIGN_PARTITIONS, ERR__REVOKE_PARTITIONS } = rdkafka.CODES.ERRORS;
  const rebalance_cb = (error: LibrdKafkaError, partitions: TopicPartitionOffset[]) => {
    if (error.code === ERR__ASSIGN_PARTITIONS) onRebalance?.(false, partitions);
    else if (error.code === ERR__REVOKE_PARTITIONS) onRebalance?.(true, partitions);
  };
  const consumer = new rdkafka.KafkaConsumer(onRebalance ? { ...config, rebalance_cb } : config, {
    'auto.offset.reset': 'earliest',
  });
  await connect(consumer);
  return consumer;
}

/**
 * Connects a producer within `timeoutMs` and, if it has a transactional id, initialises transactions. It chooses partitions as Java's
 * producers do, so that intake does not have to move records.
 */
export async function connectProducer(
  config: ProducerGlobalConfig,
  topicConfig: ProducerTopicConfig = {},
  timeoutMs = CALL_MS,
): Promise<Producer> {
  const producer = new rdkafka.Producer(config, { ...topicConfig, partitioner: 'murmur2_random' });
  await connect(producer, timeoutMs);
  if (config['transactional.id'] !== undefined) {
    try {
      await call('initialising transactions', (done) =>
        producer.initTransactions(30_000, (error) => done(error, undefined)),
      );
    } catch (error) {
      await disconnect(producer);
      throw error;
    }
  }
  return producer;
}

/** Begins a transaction in the client; the broker learns of it with the first record. */
export function beginTransaction(producer: Producer): Promise<void> {
  return call('beginning a transaction', (done) => producer.beginTransaction((error) => done(error, undefined)));
}

export function commitTransaction(producer: Producer): Promise<void> {
  return call('committing', (done) =>
    producer.commitTransaction(TRANSACTION_TIMEOUT_MS, (error) => done(error, undefined)),
  );
}

/** A client that can't connect within the time-out closes itself. */
function connect(client: KafkaConsumer | Producer, timeout = CALL_MS): Promise<void> {
  return call('connecting to Kafka', (done) =>
    client.connect({ allTopics: false, timeout, topic: '' }, (error) => done(error, undefined)),
  );
}

/**
 * Closes a client. A client that does not close would keep its group membership or transaction open next to its successor, so the
 * error ends the process. A producer that `sendOffsets` has given up is left alone.
 */
export async function disconnect(client: KafkaConsumer | Producer): Promise<void> {
  if (!client.isConnected() || lost.has(client)) return;
  const closed = new Promise<void>((resolve) => {
    client.disconnect(() => resolve());
  });
  await within(CLOSE_MS, closed, () => {
    giveUp(client);
    return new Error('A Kafka client did not close within 20 s.');
  });
}

/** Clients with a call that never returned. They stay referenced, because the call still runs in them. */
const lost = new Set<KafkaConsumer | Producer>();

/** At exit Node waits for its thread pool, and the call of a lost client still occupies a thread: only a signal ends the process. */
function giveUp(client: KafkaConsumer | Producer): void {
  if (lost.size === 0) process.once('exit', () => process.kill(process.pid, 'SIGKILL'));
  lost.add(client);
}

/**
 * Adds `offsets` of `consumer`'s group to the producer's transaction.
 *
 * librdkafka looks for the group's coordinator without a limit, whatever time-out it is given (its issue 5456), and after a failure it
 * may wait for an event that never comes. Closing such a producer would block too, so it is left open, and the broker aborts its
 * transaction after the time-out. @throws Transient, after 20 s at the latest.
 */
export async function sendOffsets(
  producer: Producer,
  offsets: TopicPartitionOffset[],
  consumer: KafkaConsumer,
): Promise<void> {
  const what = 'sending offsets';
  const sent = call(what, (done) =>
    producer.sendOffsetsToTransaction(offsets, consumer, CALL_MS, (error) => done(error, undefined)),
  );
  await within(2 * CALL_MS, sent, () => {
    giveUp(producer);
    return new Transient(`${what} failed: the client gave no answer for ${(2 * CALL_MS) / 1000} s`);
  });
}

/**
 * At most `max` records: those that are ready, or else the next one and those that arrived with it; none after 100 ms. It takes several
 * calls, because the client's own call waits for each single record and continues while records trickle in.
 */
export async function consume(consumer: KafkaConsumer, max: number): Promise<Message[]> {
  const ready = await consumeFor(0, consumer, max);
  if (ready.length > 0) return ready;
  const [next] = await consumeFor(WAIT_MS, consumer, 1);
  return next ? [next, ...(await consumeFor(0, consumer, max - 1))] : [];
}

/**
 * For readers that know that records are missing. The returned function takes the size of each batch and throws Transient when all were
 * empty for half a minute, three times the time-out of a transaction: the client does not report that its brokers are gone.
 */
export function patience(what: string): (records: number) => void {
  let empty = 0;
  return (records) => {
    empty = records > 0 ? 0 : empty + 1;
    if (empty > MAX_EMPTY) throw new Transient(`${what} failed: nothing arrived for ${(MAX_EMPTY * WAIT_MS) / 1000} s`);
  };
}

function consumeFor(waitMs: number, consumer: KafkaConsumer, max: number): Promise<Message[]> {
  consumer.setDefaultConsumeTimeout(waitMs);
  return call<Message[]>('consuming', (done) => consumer.consume(max, done));
}

/** The committed offsets. Waits for open transactions that may move them. */
export function committedOffsets(
  consumer: KafkaConsumer,
  partitions: readonly TopicPartitionOffset[],
): Promise<TopicPartitionOffset[]> {
  return call<TopicPartitionOffset[]>('reading committed offsets', (done) =>
    consumer.committed(
      partitions.map(({ topic, partition }) => ({ topic, partition })),
      30_000,
      done,
    ),
  );
}

/** A consumed message as a raw record of the pipeline. */
export function rawRecord({ topic, partition, offset, timestamp, key, value, headers }: Message): RawRecord {
  return {
    topic,
    partition,
    offset,
    timestamp: timestamp ?? 0,
    key: typeof key === 'string' ? Buffer.from(key) : (key ?? null),
    value,
    traceparent: headers === undefined ? null : traceparentIn(headers),
  };
}

/** The last header of a name counts, as in Kafka's own `lastHeader`. */
function traceparentIn(headers: readonly MessageHeader[]): string | null {
  const value = headers.findLast((header) => Object.hasOwn(header, TRACEPARENT))?.[TRACEPARENT];
  return value === undefined ? null : parseTraceparent(value.toString());
}

/** Headers of a record to produce; undefined without a trace, which saves the allocation. */
export function headersOf(traceparent: string | null | undefined): MessageHeader[] | undefined {
  return traceparent == null ? undefined : [{ [TRACEPARENT]: traceparent }];
}
