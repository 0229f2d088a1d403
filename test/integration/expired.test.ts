import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { startComponents } from '../../app/components.ts';
import { kafkajsClient, librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { call, connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { partitionOf } from '../../stream/partition.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { conversation } from '../fixtures.ts';
import { endAll, startStack } from './stack.ts';
import type { Stack } from './stack.ts';

let stack: Stack | undefined;
before(async () => {
  stack = await startStack();
});
after(() => endAll(() => stack?.stop()));

it('intake says how many records expired while it was stopped', { timeout: 180_000 }, async (t) => {
  assert.ok(stack);
  const { prepared } = stack;
  const { servers, codecs } = prepared;
  const topic = topics.conversations.name;
  const partition = partitionOf('conversation-1', PARTITIONS);
  const admin = kafkajsClient(servers.kafka, 'test').admin();
  await admin.connect();
  t.after(() => admin.disconnect());
  const lines: string[] = [];
  const log = pino({ base: null }, { write: (line) => void lines.push(line) });

  /** Sends conversation-1 so often; it is one conversation all the same. */
  async function send(count: number): Promise<void> {
    const writer = await connectProducer(librdkafkaConfig(servers.kafka, 'test'));
    const value = codecs.of(topics.conversations).encode(conversation());
    for (let i = 0; i < count; i++) writer.produce(topic, partition, value, 'conversation-1');
    await call('sending', (done) => writer.flush(30_000, (error) => done(error, undefined)));
    await disconnect(writer);
  }
  /** Runs intake until it has come to `offset`. */
  async function intakeUntil(offset: string): Promise<void> {
    const components = await startComponents(['intake'], { ...prepared, log });
    const reached = async () => {
      const [found] = await admin.fetchOffsets({ groupId: 'intake', topics: [topic] });
      return found?.partitions.some((place) => place.partition === partition && place.offset === offset) === true;
    };
    while (!(await reached())) await sleep(100);
    await components.stop();
  }

  await send(1);
  await intakeUntil('1');
  assert.deepEqual(
    lines.filter((line) => line.includes('expired')),
    [],
  );
  await send(3);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: '3' }] }); // as Kafka does after 7 days
  await intakeUntil('4');
  const told = lines.filter((line) => line.includes('expired')).map((line) => JSON.parse(line) as object);
  assert.deepEqual(
    told.map((line) => ({ ...line, time: 0 })),
    [
      {
        level: 50,
        time: 0,
        component: 'intake',
        topic,
        partition,
        records: 2,
        msg: 'records expired before they were processed',
      },
    ],
  );
});
