/**
 * The SDK that an NLU service calls. An accepted record is on all in-sync replicas or on this host's disk; an outage of
 * Kafka or of the schema registry neither fails nor blocks the service.
 *
 * New conversations may overtake spooled records. That is safe: intake drops duplicates by id and keeps reviews that arrive before
 * their conversation, so the log always holds a conversation before its reviews. Reviews and requests to erase wait behind spooled
 * records, because the last review of a conversation in the log counts, and only what is in the log can be erased. So requests to
 * erase also wait behind conversations that wait for a right (`held.ts`).
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import type { Entity, NluProvider, RoutingTarget, RunnerUp, ShownPrediction, Verdict } from '../schemas/types.ts';
import { Drain } from './drain.ts';
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
  /** The version that was asked, even if an LLM answered in its place. */
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
  /** Sending the same id again is the same review; without an id, equal content is the same review. */
  readonly review_id?: string | null;
  readonly source?: 'api' | 'inbox' | 'label-studio' | 'cli' | null;
  /** Whole milliseconds from showing the conversation to the answer. */
  readonly time_taken_ms?: number | null;
  /** The prediction that the reviewer saw. */
  readonly shown?: (Pick<ShownPrediction, 'intent' | 'module'> & Partial<ShownPrediction>) | null;
  /** Id of an earlier review that no longer counts; with the verdict skip the review does nothing else: an undo. */
  readonly withdraws?: string | null;
}

/** A request to erase a conversation. */
export interface ErasureInput {
  readonly conversation_id: string;
  /** Who asks for it: an operator or a service, not the user. */
  readonly requested_by: string;
  /** Stays in the history, so give a case number rather than anything about the person. */
  readonly reason: string;
  /** RFC 3339 or a Date; now when absent. */
  readonly requested_at?: string | Date;
}

/** Where a record is safe: on all in-sync replicas of Kafka, or on the disk of this host, from which it is sent later. */
export interface Stored {
  readonly conversation_id: string;
  readonly stored: 'kafka' | 'spool';
}

/** Counts since the start, and the current state. */
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
  /** Bytes in the spool, including records that wait for a right in Kafka. */
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
  /** Sends a record that is already validated. @throws RecordTooLarge, NotPermitted, SpoolFull, SpoolUnwritable */
  send(event: ProducedEvent): Promise<Stored>;
  /** Resolves when everything sent so far is stored, in Kafka or in the spool. */
  flush(): Promise<void>;
  /** Flushes, gives a healthy Kafka some time to take the spooled records, and closes. The next process sends the rest. */
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
  /** Bytes that this process may spool, and as many again for each kind of record that waits for a right in Kafka. 1 GiB when absent. */
  readonly maxSpoolBytes?: number;
  /** Until this resolves, all records go to the spool. Leave it out if the spool is known to belong to these servers. */
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
  const drain = new Drain(spool, link, log, { room: held });
  const sending = new Set<Promise<unknown>>();
  /** The last unfinished `send` of each conversation. */
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
    if (refusal) throw refusal; // it would wait behind others for the same right
    if (starting && sending.size < maxInFlight) await started; // Kafka may be about to answer
    const waits = event.kind !== 'conversation' && (held.isAheadOf(event.kind) || (spool.bytes > 0 && spool.hasRoom));
    // Sending spooled records shows when Kafka is back. When the spool can't be written, one record at a time is sent to find out.
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

  /** A review or a request to erase waits for records of its conversation that are being sent, because they may still go to the spool. */
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
