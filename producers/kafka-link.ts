/** The link to Kafka: connects in the background, for as long as that takes, and resolves a promise when Kafka acknowledges a record. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import rdkafka from 'node-rdkafka';
import type { LibrdKafkaError, Producer } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import { librdkafkaConfig } from '../runtime/kafka-clients.ts';
import { codeOf, connectProducer, disconnect, headersOf } from '../runtime/rdkafka.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { openCodecs } from '../runtime/schema-registry.ts';
import { MAX_EXTERNAL_BYTES } from '../stream/batch.ts';
import { partitionOf } from '../stream/partition.ts';
import { PARTITIONS } from '../topology.ts';
import { EVENT_KINDS } from './inputs.ts';
import type { EventKind, ProducedEvent } from './inputs.ts';
import { encodeInput, inputTopics, topicOf } from './input-topics.ts';

const CONNECT_MS = 3000;
const POLL_MS = 5;
const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 5000;
/** Limits for librdkafka, on a batch and on all data in flight. A topic that takes batches of this size refuses only a record that is too large. */
const BATCH_BYTES = 256 * 1024;
const QUEUE_KBYTES = 256 * 1024;
const { ERRORS } = rdkafka.CODES;
const TOO_LARGE: readonly unknown[] = [
  ERRORS.ERR_INVALID_MSG_SIZE,
  ERRORS.ERR_MSG_SIZE_TOO_LARGE,
  ERRORS.ERR_RECORD_LIST_TOO_LARGE,
];
/** Errors that concern a single record: there is no room, or no such topic or partition. */
const OF_ONE: readonly unknown[] = [
  ERRORS.ERR__QUEUE_FULL,
  ERRORS.ERR__UNKNOWN_TOPIC,
  ERRORS.ERR__UNKNOWN_PARTITION,
  ERRORS.ERR_UNKNOWN_TOPIC_OR_PART,
];
/** After a fatal error a client takes no more records and drops those in its queue. */
const FATAL: readonly unknown[] = [ERRORS.ERR__FATAL, ERRORS.ERR__PURGE_QUEUE];

/** The record was not acknowledged. It may have been stored all the same, and must be sent again. */
export class Undelivered extends Error {
  override readonly name = 'Undelivered';
}

/** Kafka refuses the record because of its size, now and later. */
export class RecordTooLarge extends Error {
  override readonly name = 'RecordTooLarge';
}

/** This producer's user may not write to the topic. Waiting does not help: an administrator must grant the right. */
export class NotPermitted extends Error {
  override readonly name = 'NotPermitted';

  constructor(kind: EventKind, options?: ErrorOptions) {
    const { name } = topicOf(kind);
    super(
      `Kafka refuses the ${kind}: this producer's user has no right to write to ${name} (Topic authorization failed). ` +
        `Grant it (docs/topics.md#least-rights): User:NAME --operation Write --topic ${name}.`,
      options,
    );
  }
}

/** The lane of a record: its kind and partition. In a lane records keep their order. */
export function laneOf({ kind, record }: ProducedEvent): string {
  return `${kind} ${String(partitionOf(record.conversation_id, PARTITIONS))}`;
}

/** What a link needs. */
export interface LinkOptions {
  readonly kafka: KafkaConfig;
  readonly schemaRegistryUrl: string;
  /** Milliseconds after which a record counts as not delivered. */
  readonly deliveryTimeoutMs: number;
  /** The link connects when this has resolved, and never if it rejects. */
  readonly ready: Promise<unknown> | undefined;
  readonly log: Logger | undefined;
}

interface Pending {
  readonly event: ProducedEvent;
  readonly deadline: number;
  /** The number of acknowledgements before it was sent. */
  readonly acknowledged: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A producer's link to Kafka. */
export class KafkaLink {
  /** Resolves when the first attempt to connect has succeeded or failed, at the latest after the delivery time-out. */
  readonly firstAttempt: Promise<void>;
  readonly #options: LinkOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #stopping = new AbortController();
  #codecs: Codecs | undefined;
  #producer: Producer | undefined;
  #healthy = true;
  #acknowledged = 0;
  /** Whether Kafka has told this client that its user may write to no topic. */
  #barred = false;
  readonly #refused = new Set<EventKind>();
  /** The lanes whose last record was not acknowledged. */
  readonly #stuck = new Set<string>();
  #lastId = 0;
  #polling: NodeJS.Timeout | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    const timeout = sleep(options.deliveryTimeoutMs, undefined, { ref: false });
    const attempted = new Promise<void>((done) => {
      Promise.resolve(options.ready).then(() => this.#connect(done), done);
    });
    this.firstAttempt = Promise.race([attempted, timeout]);
  }

  /** Whether Kafka and the schema registry have answered. */
  get connected(): boolean {
    return this.#producer !== undefined;
  }

  /**
   * Whether Kafka answers, so that in an outage not every record has to wait for its time-out. A record does not count if it fails while
   * others are acknowledged, or if the previous record of its lane failed too: that may be due to its partition alone.
   */
  get healthy(): boolean {
    return this.connected && this.#healthy;
  }

  /** Whether Kafka has refused the last record of this kind because a right is missing. */
  refuses(kind: EventKind): boolean {
    return this.#refused.has(kind);
  }

  /** Records that wait for their acknowledgement. */
  get inFlight(): number {
    return this.#pending.size;
  }

  /**
   * Resolves when all in-sync replicas have the record.
   * @throws Undelivered when no acknowledgement comes in time. @throws RecordTooLarge, NotPermitted
   */
  deliver(event: ProducedEvent): Promise<void> {
    return new Promise((resolve, reject) => {
      const [producer, codecs] = [this.#producer, this.#codecs];
      if (!producer || !codecs) {
        reject(new Undelivered('Kafka has not answered yet.'));
        return;
      }
      const { topic, value } = encodeInput(codecs, event);
      const id = ++this.#lastId;
      const deadline = Date.now() + this.#options.deliveryTimeoutMs + 1000; // librdkafka's own time-out comes first
      this.#pending.set(id, { event, deadline, acknowledged: this.#acknowledged, resolve, reject });
      try {
        const headers = headersOf(event.traceparent);
        producer.produce(topic, null, value, event.record.conversation_id, undefined, id, headers);
        this.#polling ??= setInterval(() => this.#poll(), POLL_MS);
      } catch (error) {
        this.#settle(id, error as LibrdKafkaError);
      }
    });
  }

  /** Closes the connection. Records in flight are rejected with Undelivered. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#drop('The producer was closed.');
  }

  async #connect(attempted: () => void): Promise<void> {
    const { signal } = this.#stopping;
    for (let backoff = FIRST_BACKOFF_MS; !signal.aborted; backoff = Math.min(backoff * 2, MAX_BACKOFF_MS)) {
      try {
        this.#codecs ??= await openCodecs(this.#options.schemaRegistryUrl, inputTopics);
        const producer = await this.#open();
        if (this.#stopping.signal.aborted) await disconnect(producer);
        else this.#producer = producer;
        this.#healthy = true;
        attempted();
        return;
      } catch (error) {
        attempted();
        this.#options.log?.warn({ error: String(error) }, 'not connected: records go to the spool meanwhile');
        await sleep(backoff, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  async #open(): Promise<Producer> {
    const producer = await connectProducer(
      {
        ...librdkafkaConfig(this.#options.kafka, 'samvad-producer'),
        'enable.idempotence': true,
        'compression.codec': 'lz4',
        'message.max.bytes': MAX_EXTERNAL_BYTES,
        'batch.size': BATCH_BYTES,
        'queue.buffering.max.kbytes': QUEUE_KBYTES,
        dr_cb: true,
      },
      { 'request.required.acks': -1, 'message.timeout.ms': this.#options.deliveryTimeoutMs },
      CONNECT_MS, // a client that fails to connect closes itself
    );
    producer.on('delivery-report', (error, { opaque }) => {
      this.#settle(opaque as number, error);
    });
    producer.on('event.error', (error) => {
      // A client without any right to write gets no producer id. That is fatal, and the error is reported for the client, not for a record.
      this.#barred ||= codeOf(error) === ERRORS.ERR_CLUSTER_AUTHORIZATION_FAILED;
    });
    return producer;
  }

  #poll(): void {
    this.#producer?.poll();
    // Ids grow, and all records have the same time-out, so the first one that is not due ends the search.
    const now = Date.now();
    for (const [id, { deadline }] of this.#pending) {
      if (deadline > now) break;
      this.#settle(id, new Error('no acknowledgement came'));
    }
    if (this.#pending.size > 0) return;
    clearInterval(this.#polling);
    this.#polling = undefined;
  }

  #settle(id: number, error: LibrdKafkaError | Error | null): void {
    const pending = this.#pending.get(id);
    if (!pending) return; // it was given up and spooled before
    const code = error ? codeOf(error) : undefined;
    if (FATAL.includes(code)) {
      void this.#reconnect(); // gives up all that is pending
      return;
    }
    this.#pending.delete(id);
    if (!error) {
      if (this.#stuck.size > 0) this.#stuck.delete(laneOf(pending.event));
      this.#healthy = true;
      this.#acknowledged++;
      this.#refused.delete(pending.event.kind);
      pending.resolve();
      return;
    }
    const subject = `${pending.event.kind} ${pending.event.record.conversation_id}`;
    if (TOO_LARGE.includes(code)) {
      const message = `Kafka refuses ${subject} because of its size: ${error.message}. Send less than ${String(MAX_EXTERNAL_BYTES)} bytes.`;
      pending.reject(new RecordTooLarge(message, { cause: error }));
      return;
    }
    if (code === ERRORS.ERR_TOPIC_AUTHORIZATION_FAILED) {
      this.#refused.add(pending.event.kind);
      pending.reject(new NotPermitted(pending.event.kind, { cause: error }));
      return;
    }
    const lane = laneOf(pending.event);
    const isOfOne = this.#stuck.has(lane) || pending.acknowledged !== this.#acknowledged || OF_ONE.includes(code);
    if (!isOfOne) this.#healthy = false;
    this.#stuck.add(lane);
    pending.reject(new Undelivered(`Kafka did not acknowledge ${subject}: ${error.message}.`, { cause: error }));
  }

  /** Replaces the producer: after a fatal error an idempotent producer can't be used any more. */
  async #reconnect(): Promise<void> {
    const producer = this.#producer;
    const { signal } = this.#stopping;
    if (!producer || signal.aborted) return;
    this.#producer = undefined;
    producer.poll(); // the event with the reason follows one turn of the event loop later
    await sleep(POLL_MS);
    await this.#drop('The connection failed for good, and a new one is being opened.', producer);
    // Only a new client finds out whether it may write by now.
    if (this.#barred) await sleep(MAX_BACKOFF_MS, undefined, { signal, ref: false }).catch(() => undefined);
    this.#barred = false;
    await this.#connect(() => undefined);
  }

  async #drop(why: string, producer = this.#producer): Promise<void> {
    this.#producer = undefined;
    clearInterval(this.#polling);
    this.#polling = undefined;
    if (this.#barred) for (const kind of EVENT_KINDS) this.#refused.add(kind);
    for (const [id, { event, reject }] of this.#pending) {
      this.#pending.delete(id);
      reject(this.#barred ? new NotPermitted(event.kind) : new Undelivered(why));
    }
    if (!producer) return;
    await disconnect(producer).catch((error: unknown) => {
      this.#options.log?.warn({ error: String(error) }, 'the old connection did not close');
    });
  }
}
