/** The SDK that an NLU service uses to publish conversations, and a reviewing tool to publish answers. */
import type { LibrdKafkaError } from 'node-rdkafka';
import type { KafkaConfig } from '../config.ts';
import type { ConversationCaptured, ReviewSubmitted } from '../schemas/types.ts';
import { librdkafkaConfig } from '../runtime/kafka-clients.ts';
import { connectProducer, disconnect, Transient } from '../runtime/rdkafka.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import type { Topic } from '../stream/topic.ts';
import { topics } from '../topology.ts';

/** Publishes to the log. Each promise resolves when all in-sync replicas have the record. */
export interface ConversationProducer {
  /** @throws Transient when the broker did not acknowledge in time; sending it again is safe, intake drops duplicates. */
  captureConversation(conversation: ConversationCaptured): Promise<void>;
  submitReview(review: ReviewSubmitted): Promise<void>;
  /** Waits for what is under way, then closes. */
  close(): Promise<void>;
}

const DELIVERY_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

/** Connects an idempotent producer: acknowledged by all in-sync replicas, no duplicates by its own retries. */
export async function createConversationProducer(kafka: KafkaConfig, codecs: Codecs): Promise<ConversationProducer> {
  const producer = await connectProducer(
    {
      ...librdkafkaConfig(kafka, 'conversation-producer'),
      'enable.idempotence': true,
      'linger.ms': 5,
      'compression.codec': 'lz4',
      dr_cb: true,
    },
    { 'message.timeout.ms': DELIVERY_TIMEOUT_MS },
  );
  producer.on('delivery-report', (error, { opaque }) => {
    const { resolve, reject } = opaque as { resolve: () => void; reject: (error: Error) => void };
    if ((error as LibrdKafkaError | null) === null) resolve();
    else reject(new Transient(`Kafka did not acknowledge the record: ${error.message}.`, { cause: error }));
  });
  producer.setPollInterval(POLL_MS);

  function send<V>(topic: Topic<V>, key: string, value: V): Promise<void> {
    return new Promise((resolve, reject) => {
      try {
        producer.produce(topic.name, null, codecs.of(topic).encode(value), key, undefined, { resolve, reject });
      } catch (cause) {
        reject(new Transient(`The producer takes no more: ${String(cause)}.`, { cause }));
      }
    });
  }

  return {
    captureConversation: (conversation) => send(topics.conversations, conversation.conversation_id, conversation),
    submitReview: (review) => send(topics.reviews, review.conversation_id, review),
    async close() {
      await new Promise((resolve) => producer.flush(DELIVERY_TIMEOUT_MS, resolve));
      await disconnect(producer);
    },
  };
}
