/**
 * The SDK that an NLU service calls. A record that was accepted is on all in-sync replicas or on this host's disk; an
 * outage of Kafka or of the schema registry neither fails nor blocks the service.
 *
 * New conversations may overtake spooled records. That is sound: intake drops the same content by id and keeps reviews that come
 * before their conversation, so that the log holds each conversation before its reviews in any case. Reviews and requests to erase
 * wait behind what is spooled: of the reviews of a conversation the last in the log stands, and only what is there can be erased. So
 * requests to erase also wait behind conversations that wait for a right.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import type { Entity, NluProvider, RoutingTarget, RunnerUp, ShownPrediction, Verdict } from '../schemas/types.ts';
import { drainSpool } from './drain.ts';
import { openHeld } from './held.ts';
import type { ProducedEvent } from './inputs.ts';
import { InputError, parseEvent } from './inputs.ts';
import { KafkaLink, NotPermitted, Undelivered } from './kafka-link.ts';
import { openSpool } from './spool.ts';
import { logFields, traceFrom } from './trace.ts';
import type { Traced } from './trace.ts';

export { InputError } from './inputs.ts';
export { NotPermitted, RecordTooLarge } from './kafka-link.ts';
export { SpoolFull, SpoolUnwritable } from './spool.ts';
export type { Traced } from './trace.ts';

/** A conversation as a service reports it. Absent and null mean the same. */
export interface ConversationInput {
  /** Identity of the turn; a random UUID when absent. Sending it again with the same content is harmless. */
  readonly conversation_id?: string;
  readonly user_id?: string | null;
  readonly session_id?: string | null;
  readonly user_message: string;
  /** BCP 47 tag, for example hi or hi-Latn. */
  readonly language: string;
  readonly nlu_intent: string;
  readonly nlu_module: string;
  /** 0 to 1; absent, null or NaN when the provider gives none. */
  readonly nlu_confidence?: number | null;
  readonly nlu_provider: NluProvider;
  /** The version that was asked, also where an LLM answered in its place. */
  readonly model_version?: string | null;
  /** A list, or `{name: value}` where there are no spans. */
  readonly entities?: readonly (Pick<Entity, 'name' | 'value'> & Partial<Entity>)[] | Readonly<Record<string, string>>;
  readonly routing_target?: RoutingTarget | null;
  readonly response_success?: boolean | null;
  /** Whole milliseconds. */
  readonly processing_time_ms?: number | null;
  /** The next best predictions, best first; at most 10. */
  readonly runners_up?: readonly RunnerUp[];
  /** RFC 3339 or a Date; now when absent. */
  readonly created_at?: string | Date;
}

/** A reviewer's answer. `corrected_intent` and `corrected_module` go with the verdict correct only. */
export interface ReviewInput {
  readonly conversation_id: string;
  readonly verdict: Verdict;
  readonly corrected_intent?: string | null;
  readonly corrected_module?: string | null;
  readonly reviewer: string;
  /** RFC 3339 or a Date; now when absent. */
  readonly reviewed_at?: string | Date;
  /** The same id again is the same review; without one the content is its identity. */
  readonly review_id?: string | null;
  readonly source?: 'api' | 'inbox' | 'label-studio' | 'cli' | null;
  /** Whole milliseconds from showing the conversation to the answer. */
  readonly time_taken_ms?: number | null;
  /** The prediction that the reviewer saw. */
  readonly shown?: (Pick<ShownPrediction, 'intent' | 'module'> & Partial<ShownPrediction>) | null;
  /** Id of an earlier review that no longer counts; with the verdict skip nothing else is said: an undo. */
  readonly withdraws?: string | null;
}

/** A conversation that is to be forgotten. */
export interface ErasureInput {
  readonly conversation_id: string;
  /** Who asks for it: an operator or a service, not the user. */
  readonly requested_by: string;
  /** For the history, which stays: a case number rather than anything about the person. */
  readonly reason: string;
  /** RFC 3339 or a Date; now when absent. */
  readonly requested_at?: string | Date;
}

/** Where a record is safe: on all in-sync replicas of Kafka, or on the disk of this host, from where it is sent on. */
export interface Stored {
  readonly conversation_id: string;
  readonly stored: 'kafka' | 'spool';
}

/** Counts since the start, and what waits now. */
export interface ProducerStats {
  /** Whether Kafka and the schema registry have answered. */
  readonly connected: boolean;
  readonly inFlight: number;
  /** Records that Kafka acknowledged at once. */
  readonly acknowledged: number;
  readonly spooled: number;
  /** Spooled records, also of earlier processes, that Kafka has acknowledged. */
  readonly drained: number;
  /** Spooled lines that can never be delivered, set aside in `refused.ndjson`. */
  readonly setAside: number;
  /** Bytes in the spool, with what waits there for a right in Kafka. */
  readonly spoolBytes: number;
}

/** Sends conversations, reviews and requests to erase into the log. */
export interface ConversationProducer {
  /** @throws InputError, RecordTooLarge, NotPermitted, SpoolFull, SpoolUnwritable; in each case nothing was stored. */
  captureConversation(input: ConversationInput, trace?: Traced): Promise<Stored>;
  /** @throws InputError, RecordTooLarge, NotPermitted, SpoolFull, SpoolUnwritable; in each case nothing was stored. */
  submitReview(input: ReviewInput, trace?: Traced): Promise<Stored>;
  /** Asks for a conversation to be erased. @throws InputError, NotPermitted, SpoolFull, SpoolUnwritable; in each case nothing was stored. */
  requestErasure(input: ErasureInput, trace?: Traced): Promise<Stored>;
  /** Sends a record that was validated already. @throws RecordTooLarge, NotPermitted, SpoolFull, SpoolUnwritable */
  send(event: ProducedEvent): Promise<Stored>;
  /** Resolves when all that was sent so far is stored, in Kafka or in the spool. */
  flush(): Promise<void>;
  /** Flushes, gives a healthy Kafka a moment to take the spool, and closes. The rest is for the next process. */
  close(): Promise<void>;
  stats(): ProducerStats;
}

/** What a producer needs. */
export interface ProducerOptions {
  readonly kafka: KafkaConfig;
  /** Base of the Confluent-compatible API. */
  readonly schemaRegistryUrl: string;
  /** Folder on a local disk, shared by all producers of this host. */
  readonly spoolFolder: string;
  /** Records that may wait for Kafka at a time; more go to the spool. 10,000 when absent. */
  readonly maxInFlight?: number;
  /** Milliseconds to wait for Kafka before a record goes to the spool. 5,000 when absent. */
  readonly deliveryTimeoutMs?: number;
  /** Bytes that this process may spool, and as many again of each kind of record that waits for a right in Kafka. 1 GiB when absent. */
  readonly maxSpoolBytes?: number;
  /** Before this resolves nothing is sent: records go to the spool. Absent where it is known that these servers are the spool's. */
  readonly ready?: Promise<unknown>;
  readonly log?: Logger;
}

/**
 * Opens a producer at once, whether or not Kafka and the registry answer.
 * Fails only when the spool folder can't be written.
 */
export async function createConversationProducer(options: ProducerOptions): Promise<ConversationProducer> {
  const { kafka, schemaRegistryUrl, ready, log, maxInFlight = 10_000, deliveryTimeoutMs = 5000 } = options;
  const maxBytes = options.maxSpoolBytes ?? 1024 ** 3;
  const spoolOptions = { folder: options.spoolFolder, maxBytes, ...(log && { log }) };
  const spool = await openSpool(spoolOptions);
  const link = new KafkaLink({ kafka, schemaRegistryUrl, deliveryTimeoutMs, ready, log });
  const held = await openHeld(spoolOptions, link);
  const drain = drainSpool(spool, link, log, { room: held });
  const sending = new Set<Promise<unknown>>();
  /** The last record under way of each conversation. */
  const latest = new Map<string, Promise<unknown>>();
  const counts = { acknowledged: 0, spooled: 0 };
  let starting = true;
  let closing: Promise<void> | undefined;

  const started = link.firstAttempt.then(() => {
    starting = false;
  });

  async function store(event: ProducedEvent): Promise<Stored> {
    const { conversation_id } = event.record;
    const refusal = held.refusal(event.kind);
    if (refusal) throw refusal; // it would stand behind others that wait for the same right
    if (starting && sending.size < maxInFlight) await started; // no need for the spool where Kafka is about to answer
    const waits = event.kind !== 'conversation' && (held.isAheadOf(event.kind) || (spool.bytes > 0 && spool.hasRoom));
    // What is spooled finds out when Kafka is back; where nothing can be, one record at a time does.
    const asks = spool.failing && link.inFlight === 0;
    if (!waits && (link.healthy || asks) && link.inFlight < maxInFlight) {
      try {
        await link.deliver(event);
        counts.acknowledged++;
        return { conversation_id, stored: 'kafka' };
      } catch (error) {
        if (error instanceof NotPermitted) log?.error({ ...logFields(event), error: error.message }, 'not permitted');
        if (!(error instanceof Undelivered)) throw error;
      }
    }
    await spool.append(event);
    counts.spooled++;
    log?.debug(logFields(event), 'spooled');
    return { conversation_id, stored: 'spool' };
  }

  /** A review or a request to erase follows what is on its way of the same conversation, which may yet end in the spool. */
  async function inOrder(event: ProducedEvent): Promise<Stored> {
    if (event.kind !== 'conversation') await latest.get(event.record.conversation_id)?.catch(() => undefined);
    return store(event);
  }

  async function send(event: ProducedEvent): Promise<Stored> {
    if (closing) throw new Error('The producer is closed; the record was not stored.');
    const { conversation_id } = event.record;
    const stored = inOrder(event);
    sending.add(stored);
    latest.set(conversation_id, stored);
    try {
      return await stored;
    } finally {
      sending.delete(stored);
      if (latest.get(conversation_id) === stored) latest.delete(conversation_id);
    }
  }

  async function flush(): Promise<void> {
    await Promise.allSettled(sending);
  }

  async function close(): Promise<void> {
    await flush();
    await drain.finish(deliveryTimeoutMs);
    await held.close();
    await link.close();
    await spool.close();
  }

  return {
    captureConversation: async (input, trace = {}) =>
      send({
        ...parseEvent('conversation', {
          ...input,
          conversation_id: input.conversation_id ?? randomUUID(),
          created_at: timeOf('created_at', input.created_at),
        }),
        ...traceFrom(trace),
      }),
    submitReview: async (input, trace = {}) =>
      send({
        ...parseEvent('review', { ...input, reviewed_at: timeOf('reviewed_at', input.reviewed_at) }),
        ...traceFrom(trace),
      }),
    requestErasure: async (input, trace = {}) =>
      send({
        ...parseEvent('erasure', { ...input, requested_at: timeOf('requested_at', input.requested_at) }),
        ...traceFrom(trace),
      }),
    send,
    flush,
    close: () => (closing ??= close()),
    stats: () => ({
      connected: link.connected,
      inFlight: link.inFlight,
      ...counts,
      drained: drain.counts().drained + held.counts().drained,
      setAside: drain.counts().setAside + held.counts().setAside,
      spoolBytes: spool.bytes + held.bytes,
    }),
  };
}

function timeOf(field: string, time: string | Date = new Date()): string {
  if (typeof time === 'string') return time;
  if (Number.isNaN(time.getTime())) throw new InputError([{ field, message: 'It is an invalid Date.' }]);
  return time.toISOString();
}
