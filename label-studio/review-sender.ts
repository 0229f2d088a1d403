/**
 * Sends reviews to the topic. They bypass the spool of the other producers, where a later record may overtake an
 * earlier one: the outbox keeps them in order until Kafka has acknowledged them.
 */
import type { LibrdKafkaError, Producer } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import { librdkafkaConfig } from '../runtime/kafka-clients.ts';
import { connectProducer, disconnect, Transient } from '../runtime/rdkafka.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { within } from '../runtime/within.ts';
import type { ReviewSubmitted } from '../schemas/types.ts';
import { topics } from '../topology.ts';

/** Sends reviews in order. */
export interface ReviewSender {
  /** Resolves when all in-sync replicas have all reviews. @throws Transient when that is unknown. */
  send(reviews: readonly ReviewSubmitted[]): Promise<void>;
  close(): Promise<void>;
}

const SEND_MS = 30_000;
/** How long a delivery report may take beyond the record's own time-out. */
const REPORT_MS = 10_000;

/**
 * Connects at the first review. After a failure, the next call opens a new connection. `sendMs` is the time-out of a
 * record.
 */
export function openReviewSender(kafka: KafkaConfig, codecs: Codecs, sendMs = SEND_MS): ReviewSender {
  const codec = codecs.of(topics.reviews);
  let producer: Producer | undefined;
  async function connected(): Promise<Producer> {
    if (producer) return producer;
    const opened = await connectProducer(
      { ...librdkafkaConfig(kafka, 'label-studio'), 'enable.idempotence': true, dr_cb: true },
      { 'message.timeout.ms': sendMs },
    );
    opened.on('event.error', () => undefined); // lost connections; the delivery reports show their effect
    opened.setPollInterval(20);
    return (producer = opened);
  }
  async function close(): Promise<void> {
    const closing = producer;
    producer = undefined;
    if (closing) await disconnect(closing);
  }
  return {
    async send(reviews) {
      if (reviews.length === 0) return;
      const out = await connected();
      const delivered = reportsOf(out, reviews.length);
      try {
        for (const review of reviews)
          out.produce(topics.reviews.name, null, codec.encode(review), review.conversation_id);
        // Waiting for the flush is not enough: reports arrive separately, partly after it.
        const late = () => new Transient('Kafka has not reported for every review whether it accepted it.');
        await within(sendMs + REPORT_MS, delivered.all, late);
      } catch (error) {
        await close();
        throw error;
      } finally {
        delivered.stop();
      }
    },
    close,
  };
}

/** `all` resolves at the last of `count` delivery reports, and rejects at the first that reports a failure. */
function reportsOf(producer: Producer, count: number): { readonly all: Promise<void>; stop(): void } {
  let stop: () => void = () => undefined;
  const all = new Promise<void>((resolve, reject) => {
    let left = count;
    const onReport = (failure: LibrdKafkaError | null | undefined) => {
      if (failure) reject(new Transient(`Kafka did not take a review: ${failure.message}`, { cause: failure }));
      else if (--left === 0) resolve();
    };
    producer.on('delivery-report', onReport);
    stop = () => void producer.off('delivery-report', onReport);
  });
  all.catch(() => undefined); // if producing fails, nothing awaits it
  return { all, stop };
}
