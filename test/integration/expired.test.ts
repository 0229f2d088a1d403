import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { pino } from 'pino';
import { startComponents } from '../../app/components.ts';
import type { Prepared } from '../../app/environment.ts';
import { readLag } from '../../app/lag.ts';
import { kafkajsClient, librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { call, connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { conversationReviews } from '../../sinks/conversation-reviews.ts';
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

const topic = topics.conversations.name;
const partition = partitionOf('conversation-1', PARTITIONS);

/** Sends conversation-1 `count` times; it remains one conversation. */
async function send({ servers, codecs }: Prepared, count: number): Promise<void> {
  const writer = await connectProducer(librdkafkaConfig(servers.kafka, 'test'));
  const value = codecs.of(topics.conversations).encode(conversation());
  for (let i = 0; i < count; i++) writer.produce(topic, partition, value, 'conversation-1');
  await call('sending', (done) => writer.flush(30_000, (error) => done(error, undefined)));
  await disconnect(writer);
}

/** Runs intake until it has reached `offset`. Returns the errors that it logs. */
async function intakeUntil(prepared: Prepared, admin: Admin, offset: string): Promise<readonly object[]> {
  const lines: { readonly level: number }[] = [];
  const log = pino({ base: null }, { write: (line) => void lines.push(JSON.parse(line) as { level: number }) });
  const components = await startComponents(['intake'], { ...prepared, log });
  const reached = async () => {
    const [found] = await admin.fetchOffsets({ groupId: 'intake', topics: [topic] });
    return found?.partitions.some((place) => place.partition === partition && place.offset === offset) === true;
  };
  while (!(await reached())) await sleep(100);
  await components.stop();
  return lines.filter(({ level }) => level >= 50).map((line) => ({ ...line, time: 0 }));
}

async function connected(t: TestContext, { servers }: Prepared): Promise<Admin> {
  const admin = kafkajsClient(servers.kafka, 'test').admin();
  await admin.connect();
  t.after(() => admin.disconnect());
  return admin;
}

it('intake logs how many records expired while it was stopped', { timeout: 180_000 }, async (t) => {
  assert.ok(stack);
  const { prepared } = stack;
  const admin = await connected(t, prepared);
  await send(prepared, 1);
  assert.deepEqual(await intakeUntil(prepared, admin, '1'), []);
  await send(prepared, 3);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: '3' }] }); // as Kafka does after 7 days
  const message = 'records expired before they were processed';
  assert.deepEqual(await intakeUntil(prepared, admin, '4'), [
    { level: 50, time: 0, component: 'intake', topic, partition, records: 2, msg: message },
  ]);
});

it(
  'when a topic has lost records that were already read, intake reads it again and a projection ends',
  { timeout: 180_000 },
  async (t) => {
    assert.ok(stack);
    const { prepared } = stack;
    const { servers, pool } = prepared;
    const admin = await connected(t, prepared);
    const aheadOf = async (name: string) =>
      (await readLag(servers, pool)).filter(({ component }) => component === name).map(({ ahead }) => ahead);
    await admin.setOffsets({ groupId: 'intake', topic, partitions: [{ partition, offset: '1000' }] });
    assert.deepEqual((await aheadOf('intake')).sort(), [0, 0, 0, 996]);
    const message = 'processed records are lost; reading again what is left';
    assert.deepEqual(await intakeUntil(prepared, admin, '4'), [
      { level: 50, time: 0, component: 'intake', topic, partition, end: 4, committed: 1000, msg: message },
    ]);
    assert.deepEqual(await aheadOf('intake'), [0, 0, 0, 0]);

    const { name, topic: events } = conversationReviews;
    for (const [place, from] of [
      [partition, 0], // it has a record
      [(partition + 1) % PARTITIONS, 0], // it has none
    ] as const) {
      await pool.query('DELETE FROM projection_offsets WHERE projection = $1', [name]);
      await pool.query('INSERT INTO projection_offsets VALUES ($1, $2, $3, 1000, 1)', [name, events.name, place]);
      assert.ok(((await aheadOf(name))[0] ?? 0) > 900);
      const components = await startComponents([name], prepared);
      await assert.rejects(components.failed, {
        name: 'LostRecords',
        message:
          `${name} has stored everything before offset 1000 of ${events.name}/${place}, but Kafka returns records from offset ${from}: ` +
          `the topic has lost records, or was recreated. Refill the table from it: samvad rebuild ${name}`,
      });
      await assert.rejects(components.stop());
    }
  },
);
