/** The way to Kafka: connects in the background for as long as it takes, and promises each record's acknowledgement. */
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
/** Limits that we set on librdkafka, of a batch and of all that is in flight. A topic that takes batches of this size refuses a large record alone. */
const BATCH_BYTES = 256 * 1024;
const QUEUE_KBYTES = 256 * 1024;
const { ERRORS } = rdkafka.CODES;
const TOO_LARGE: readonly unknown[] = [
  ERRORS.ERR_INVALID_MSG_SIZE,
  ERRORS.ERR_MSG_SIZE_TOO_LARGE,
  ERRORS.ERR_RECORD_LIST_TOO_LARGE,
];
/** These say nothing of other records: there is no room, or no such topic. */
const OF_ONE: readonly unknown[] = [
  ERRORS.ERR__QUEUE_FULL,
  ERRORS.ERR__UNKNOWN_TOPIC,
  ERRORS.ERR__UNKNOWN_PARTITION,
  ERRORS.ERR_UNKNOWN_TOPIC_OR_PART,
];
/** After a fatal error a client takes no more records, and gives up those in its queue. */
const FATAL: readonly unknown[] = [ERRORS.ERR__FATAL, ERRORS.ERR__PURGE_QUEUE];

/** The record was not acknowledged; it may have been stored all the same, and sending it again is right. */
export class Undelivered extends Error {
  override readonly name = 'Undelivered';
}

/** Kafka refuses the record for its size, now and later. */
export class RecordTooLarge extends Error {
  override readonly name = 'RecordTooLarge';
}

/** Kafka does not let this producer's user write to the topic: not a matter of time, but of a right that somebody may grant. */
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

/** What the way to Kafka needs. */
export interface LinkOptions {
  readonly kafka: KafkaConfig;
  readonly schemaRegistryUrl: string;
  /** Milliseconds after which a record counts as not delivered. */
  readonly deliveryTimeoutMs: number;
  /** It connects when this has resolved; where it rejects, never. */
  readonly ready: Promise<unknown> | undefined;
  readonly log: Logger | undefined;
}

interface Pending {
  readonly event: ProducedEvent;
  readonly deadline: number;
  /** How many acknowledgements had come when it was sent. */
  readonly acknowledged: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A producer's way to Kafka. */
export class KafkaLink {
  /** Resolves when the first connection was made or failed, at the latest after the delivery time-out. */
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
   * Whether Kafka answers: others need not wait for a time-out to learn of an outage. A record that failed while others were acknowledged
   * tells of its partition alone, and so does one whose partition took the last one neither.
   */
  get healthy(): boolean {
    return this.connected && this.#healthy;
  }

  /** Whether Kafka has refused the last record of this kind for want of a right. */
  refuses(kind: EventKind): boolean {
    return this.#refused.has(kind);
  }

  /** Records that wait for their acknowledgement. */
  get inFlight(): number {
    return this.#pending.size;
  }

  /**
   * Resolves when all in-sync replicas have the record.
   * @throws Undelivered when that can't be known in time. @throws RecordTooLarge, NotPermitted
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

  /** Closes the connection. What is in flight is given up as undelivered. */
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
      CONNECT_MS, // one that fails to connect has closed itself
    );
    producer.on('delivery-report', (error, { opaque }) => {
      this.#settle(opaque as number, error);
    });
    producer.on('event.error', (error) => {
      // A client without any right to write gets no producer id, which is fatal: it says so of itself, and not of a record.
      this.#barred ||= codeOf(error) === ERRORS.ERR_CLUSTER_AUTHORIZATION_FAILED;
    });
    return producer;
  }

  #poll(): void {
    this.#producer?.poll();
    // Ids grow and the time-out is one for all, so the first that is not due ends the search.
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
    if (!pending) return; // given up already: it was spooled
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
      const message = `Kafka refuses ${subject} for its size: ${error.message}. Send less than ${String(MAX_EXTERNAL_BYTES)} bytes.`;
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

  /** An idempotent producer that met a fatal error is of no more use; a new one is. */
  async #reconnect(): Promise<void> {
    const producer = this.#producer;
    const { signal } = this.#stopping;
    if (!producer || signal.aborted) return;
    this.#producer = undefined;
    producer.poll(); // the event that says why comes a turn later
    await sleep(POLL_MS);
    await this.#drop('Kafka has shut this connection out, and another one is being made.', producer);
    // Only a new client learns whether it may write by now.
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
