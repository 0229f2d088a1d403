/** A program that sends offsets in a transaction although the group has no coordinator, and prints the outcome. */
import { librdkafkaConfig, librdkafkaConsumerConfig } from '../../runtime/kafka-clients.ts';
import { call, connectConsumer, connectProducer, disconnect, sendOffsets } from '../../runtime/rdkafka.ts';

const kafka = { brokers: process.env['KAFKA_BROKERS'] ?? '' };
const consumer = await connectConsumer(librdkafkaConsumerConfig(kafka, 'lost', 'lost'));
const begun = async (id: string) => {
  const producer = await connectProducer({ ...librdkafkaConfig(kafka, id), 'transactional.id': id });
  await call('beginning', (done) => producer.beginTransaction((error) => done(error, undefined)));
  return producer;
};

const producer = await begun('lost');
await sendOffsets(producer, [{ topic: 'any', partition: 0, offset: 1 }], consumer).catch((error: unknown) =>
  process.stdout.write(`${String(error)}\n`),
);
await disconnect(producer);
await disconnect(await begun('next'));
await disconnect(consumer);
process.stdout.write('went on\n');
process.exit(0);
