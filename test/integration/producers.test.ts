import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import { readConfig } from '../../config.ts';
import { startPlatform } from '../../platform/platform.ts';
import type { RunningPlatform } from '../../platform/platform.ts';
import { createConversationProducer, RecordTooLarge } from '../../producers/conversation-producer.ts';
import type { ConversationProducer, Stored } from '../../producers/conversation-producer.ts';
import { kafkajsClient } from '../../runtime/kafka-clients.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { openCodecs } from '../../runtime/schema-registry.ts';
import { ensureTopics } from '../../runtime/topics.ts';
import { partitionOf } from '../../stream/partition.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { endAll } from './stack.ts';

const record = (id: string) => ({
  conversation_id: id,
  user_message: 'मेरा ऑर्डर कहाँ है?',
  language: 'hi',
  nlu_intent: 'track_order',
  nlu_module: 'food',
  nlu_confidence: 0.93,
  nlu_provider: 'indicbert' as const,
});

describe('the producer through outages of Kafka', () => {
  let home: string;
  let platform: RunningPlatform;
  let producer: ConversationProducer;
  let servers: { readonly kafka: { readonly brokers: string }; readonly schemaRegistryUrl: string };
  const stored = new Map<string, Stored['stored']>();

  const start = () =>
    startPlatform({
      home,
      cache: readConfig().cache,
      servers: new Set(['kafka', 'registry'] as const),
      detached: false,
      progress: () => undefined,
    });
  const capture = async (id: string) => {
    stored.set(id, (await producer.captureConversation(record(id))).stored);
  };
  const captureMany = (prefix: string, count: number) =>
    Promise.all(Array.from({ length: count }, (_, i) => capture(`${prefix}-${String(i)}`)));
  const kinds = (prefix: string) => new Set([...stored].flatMap(([id, how]) => (id.startsWith(prefix) ? [how] : [])));
  async function untilDrained(): Promise<void> {
    const deadline = Date.now() + 60_000;
    while (producer.stats().spoolBytes > 0) {
      assert.ok(Date.now() < deadline, `not drained after a minute: ${JSON.stringify(producer.stats())}`);
      await sleep(100);
    }
  }

  before(async () => {
    home = await mkdtemp(path.join(os.tmpdir(), 'samvad-producers-'));
    platform = await start(); // chooses the ports, which stay the same
    const { kafkaBrokers = '', schemaRegistryUrl = '' } = platform.addresses;
    servers = { kafka: { brokers: kafkaBrokers }, schemaRegistryUrl };
    await ensureTopics(kafkajsClient(servers.kafka, 'test'), Object.values(topics), PARTITIONS, 1);
    await platform.stop();
  });
  after(() =>
    endAll(
      () => producer.close(),
      () => platform.stop(),
      () => rm(home, { recursive: true, force: true }),
    ),
  );

  it('spools records while nothing answers, and sends them when Kafka and the registry start', async () => {
    producer = await createConversationProducer({
      ...servers,
      spoolFolder: path.join(home, 'spool'),
      deliveryTimeoutMs: 2000,
    });
    await captureMany('down', 500);
    assert.deepEqual(kinds('down'), new Set(['spool']));
    platform = await start();
    await untilDrained();
    assert.equal(producer.stats().drained, 500);
  });

  it('sends straight to Kafka when it is up', async () => {
    await captureMany('up', 5000);
    assert.deepEqual(kinds('up'), new Set(['kafka']));
  });

  it('refuses a record that is too large for its topic, and sends those beside it', async () => {
    const admin = kafkajsClient(servers.kafka, 'test').admin();
    await admin.connect();
    const type = kafkajs.ConfigResourceTypes.TOPIC;
    const configEntries = [{ name: 'max.message.bytes', value: '300000' }];
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type, name: topics.conversations.name, configEntries }],
    });
    await admin.disconnect();
    const value = () => Buffer.from(randomBytes(2000).map((byte) => 0x40 + (byte % 0x3f))).toString('utf16le'); // does not compress
    const entities = Array.from({ length: 200 }, () => ({ name: 'noise', value: value() }));
    await Promise.all([
      assert.rejects(producer.captureConversation({ ...record('too-large'), entities }), RecordTooLarge),
      captureMany('beside', 100),
    ]);
    assert.deepEqual(kinds('beside'), new Set(['kafka']));
  });

  it('loses nothing when the broker is killed under load', async () => {
    const load = (async () => {
      for (let i = 0; i < 60; i++) {
        await Promise.race([captureMany(`killed-${String(i)}`, 100), sleep(100)]);
        await sleep(50);
      }
    })();
    await sleep(500);
    platform.kill('kafka', 'SIGKILL');
    await sleep(3000);
    await platform.restart('kafka');
    await load;
    await producer.flush();
    assert.deepEqual(kinds('killed'), new Set(['kafka', 'spool']));
    await untilDrained();
  });

  it("keeps the order of a person's reviews through an outage", async () => {
    const answer = (verdict: 'approve' | 'reject') =>
      producer.submitReview({ conversation_id: 'answered-twice', verdict, reviewer: 'asha' });
    platform.kill('kafka', 'SIGKILL');
    await captureMany('before', 5000);
    assert.equal((await answer('approve')).stored, 'spool');
    const { drained } = producer.stats();
    await platform.restart('kafka');
    while (producer.stats().drained === drained) await sleep(5);
    await answer('reject');
    await untilDrained();
    const codec = (await openCodecs(servers.schemaRegistryUrl, [topics.reviews])).of(topics.reviews);
    const verdicts: string[] = [];
    for await (const { value } of readTopic(servers.kafka, topics.reviews.name))
      if (value) verdicts.push(codec.decode(value).verdict);
    assert.deepEqual([...new Set(verdicts)], ['approve', 'reject']);
  });

  it('has every record in the topic, readable and in the partition that Java would choose', async () => {
    const codec = (await openCodecs(servers.schemaRegistryUrl, [topics.conversations])).of(topics.conversations);
    const seen = new Set<string>();
    for await (const { key, value, partition } of readTopic(servers.kafka, topics.conversations.name)) {
      assert.ok(key && value);
      const { conversation_id, user_message } = codec.decode(value);
      assert.equal(key.toString(), conversation_id);
      assert.equal(partition, partitionOf(conversation_id, PARTITIONS));
      assert.equal(user_message, 'मेरा ऑर्डर कहाँ है?');
      seen.add(conversation_id);
    }
    assert.equal(stored.size, 500 + 5000 + 100 + 6000 + 5000);
    assert.deepEqual(
      [...stored.keys()].filter((id) => !seen.has(id)),
      [],
    );
  });

  it('closes cleanly, and leaves nothing in the spool', async () => {
    await producer.close();
    assert.equal(producer.stats().spoolBytes, 0);
  });
});
