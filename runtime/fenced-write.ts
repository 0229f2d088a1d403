/** Compare-and-set on Kafka's transactions, for topics that several processes write, one at a time. */
import type { KafkaConfig } from '../config.ts';
import type { OutgoingRecord } from '../stream/batch.ts';
import { librdkafkaConfig, MAX_MESSAGE_BYTES } from './kafka-clients.ts';
import { oneAtATime } from './one-at-a-time.ts';
import type { OneAtATime } from './one-at-a-time.ts';
import {
  beginTransaction,
  commitTransaction,
  connectProducer,
  disconnect,
  headersOf,
  TRANSACTION_TIMEOUT_MS,
} from './rdkafka.ts';

/** A record to write. */
export interface EncodedRecord extends Omit<OutgoingRecord, 'partition' | 'traceparent'> {
  /** 0 where absent; null leaves the choice to the key. */
  readonly partition?: number | null;
  /** The trace in which it is sent, if it has one. */
  readonly traceparent?: string | null;
}

/**
 * Writes the records that `decide` returns in one transaction. (1) Initialises `transactionalId`, which aborts the transaction of any
 * other producer with this id and fences that producer; (2) lets `decide` read the log to its end and decide; (3) writes and commits.
 * Kafka refuses the commit when another producer has initialised the id in between. Calls of one process with the same id follow one
 * another, so they do not fence each other.
 * @throws Transient when the commit was refused or Kafka does not answer. Nothing was written; the caller may try again.
 */
export function fencedWrite(
  kafka: KafkaConfig,
  transactionalId: string,
  decide: () => Promise<readonly EncodedRecord[]>,
): Promise<void> {
  const inTurn = turns.get(transactionalId) ?? oneAtATime();
  turns.set(transactionalId, inTurn);
  return inTurn(() => write(kafka, transactionalId, decide));
}

/** By transactional id. A process uses few. */
const turns = new Map<string, OneAtATime>();

async function write(
  kafka: KafkaConfig,
  transactionalId: string,
  decide: () => Promise<readonly EncodedRecord[]>,
): Promise<void> {
  const producer = await connectProducer({
    ...librdkafkaConfig(kafka, transactionalId),
    'transactional.id': transactionalId,
    'transaction.timeout.ms': TRANSACTION_TIMEOUT_MS,
    'message.max.bytes': MAX_MESSAGE_BYTES,
  });
  try {
    const records = await decide();
    if (records.length === 0) return;
    await beginTransaction(producer);
    for (const { topic, partition = 0, key, value, timestamp, traceparent = null } of records)
      producer.produce(topic, partition, value, key, timestamp, undefined, headersOf(traceparent));
    await commitTransaction(producer);
  } finally {
    await disconnect(producer);
  }
}
