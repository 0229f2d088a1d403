/**
 * Sends conversations into the log from Node with the SDK. See docs/producing.md.
 *
 *     eval "$(npx samvad platform env)"
 *     npx tsx examples/produce.ts [COUNT]
 */
import path from 'node:path';
import { ConfigError, readConfig } from '../config.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';

const count = Number(process.argv[2] ?? 3);
const { kafka, schemaRegistryUrl, home } = readConfig();
if (!kafka || schemaRegistryUrl === undefined) throw new ConfigError('Set KAFKA_BROKERS and SCHEMA_REGISTRY_URL.');

const producer = await createConversationProducer({ kafka, schemaRegistryUrl, spoolFolder: path.join(home, 'spool') });
const stored = await Promise.all(
  Array.from({ length: count }, (_, i) =>
    producer.captureConversation({
      user_message: `where is my order ${i}?`,
      language: 'en',
      nlu_intent: 'track_order',
      nlu_module: 'food',
      nlu_confidence: 0.91,
      nlu_provider: 'indicbert',
      model_version: 'router-v1.0.0',
      response_success: true,
      processing_time_ms: 48,
    }),
  ),
);
await producer.close();
const inKafka = stored.filter((one) => one.stored === 'kafka').length;
process.stdout.write(`${inKafka} conversations are in the log, ${count - inKafka} in the spool.\n`);
