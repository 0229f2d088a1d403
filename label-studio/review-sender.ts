/**
 * Reviews on their way into the topic. They do not go through the spool of the other producers, where a later one may overtake
 * an earlier one: the outbox keeps them, in their order, until Kafka has acknowledged them.
 */
import type { Producer } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import { librdkafkaConfig } from '../runtime/kafka-clients.ts';
import { call, connectProducer, disconnect, Transient } from '../runtime/rdkafka.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import type { ReviewSubmitted } from '../schemas/types.ts';
import { topics } from '../topology.ts';

/** Sends reviews in order. */
export interface ReviewSender {
  /** Resolves when all in-sync replicas have all of them. @throws Transient when that is not known. */
  send(reviews: readonly ReviewSubmitted[]): Promise<void>;
  close(): Promise<void>;
}

const SEND_MS = 30_000;

/** Connects at the first review. After a failure the next call begins with a new connection. */
export function openReviewSender(kafka: KafkaConfig, codecs: Codecs): ReviewSender {
  const codec = codecs.of(topics.reviews);
  let producer: Producer | undefined;
  let failure: Error | undefined;
  async function connected(): Promise<Producer> {
    if (producer) return producer;
    failure = undefined;
    const opened = await connectProducer(
      { ...librdkafkaConfig(kafka, 'label-studio'), 'enable.idempotence': true, dr_cb: true },
      { 'message.timeout.ms': SEND_MS },
    );
    opened.on('delivery-report', (error) => (failure ??= error instanceof Error ? error : undefined));
    opened.on('event.error', () => undefined); // lost connections: the delivery reports tell what they did
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
      const out = await connected();
      try {
        for (const review of reviews)
          out.produce(topics.reviews.name, null, codec.encode(review), review.conversation_id);
        await call('sending reviews', (done) => out.flush(SEND_MS + 5000, (error) => done(error, undefined)));
        if (failure) throw new Transient(`Kafka did not take a review: ${failure.message}`, { cause: failure });
      } catch (error) {
        await close();
        throw error;
      }
    },
    close,
  };
}
