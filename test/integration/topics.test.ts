import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, it } from 'node:test';
import { promisify } from 'node:util';
import kafkajs from 'kafkajs';
import type { Admin, Kafka } from 'kafkajs';
import { explain } from '../../cli/explain.ts';
import { drawTopics } from '../../cli/topology.ts';
import { kafkaLibraries } from '../../platform/kafka.ts';
import { kafkajsClient } from '../../runtime/kafka-clients.ts';
import { reasonOf } from '../../runtime/reason.ts';
import { ensureTopics, TopicMismatch, topicSettings } from '../../runtime/topics.ts';
import type { Topic } from '../../stream/topic.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { endAll, startKafka } from './stack.ts';

let server: Awaited<ReturnType<typeof startKafka>>;
let kafka: Kafka;
let admin: Admin;

before(async () => {
  server = await startKafka();
  kafka = kafkajsClient({ brokers: server.brokers }, 'test');
  admin = kafka.admin();
  await admin.connect();
});

after(() =>
  endAll(
    () => admin.disconnect(),
    () => server.stop(),
  ),
);

const ADVICE = '\n`samvad topology --topics` prints the commands that set it.';

/** The error of a start with these topics, or `taken` where it accepts them. */
const start = (...wanted: readonly Topic[]) =>
  ensureTopics(kafka, wanted, PARTITIONS, 1).then(
    () => 'taken',
    (error: unknown) => (error instanceof TopicMismatch ? error.message.replace(ADVICE, '') : error),
  );

/** Creates `topic` as an administrator might, with these settings and otherwise the broker's, and starts with it. */
async function made(topic: Topic, name: string, config: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const configEntries = Object.entries(config).map(([key, value]) => ({ name: key, value }));
  const numPartitions = topic.partitions ?? PARTITIONS;
  await admin.createTopics({ topics: [{ topic: `nlu.${name}`, numPartitions, configEntries }] });
  return start({ ...topic, name: `nlu.${name}` });
}

it('a start names the topic that Kafka refuses to create, and says why', async () => {
  const wanted = ['nlu.one', 'nlu.two'].map((name) => ({ ...topics.modelEvents, name }));
  const refusal = await ensureTopics(kafka, wanted, PARTITIONS, 3).catch((error: unknown) => error);
  assert.equal(reasonOf(refusal), 'nlu.one: Replication-factor is invalid (see SAMVAD_REPLICATION)');
  assert.equal(explain(refusal), `Kafka does not answer as it should: ${reasonOf(refusal)}.`);
});

it('a start refuses topics with settings that would lose records, and says what to set', async () => {
  const kept = (keeps: Topic['keeps']) => ({ ...topics.modelEvents, keeps });
  const week = { 'cleanup.policy': 'delete', 'retention.ms': '604800000' };
  const both = { 'cleanup.policy': 'compact,delete', 'retention.ms': '-1', 'retention.bytes': '1000000' };
  const month = { 'delete.retention.ms': '2592000000' };
  const arrival = { 'message.timestamp.type': 'LogAppendTime' };
  const found = [
    await made(kept('for ever'), 'by-default'),
    await made(kept('until erased'), 'a-week', week),
    await made(kept('latest per key'), 'both', { ...both, ...month }),
    await made(kept('for ever'), 'compacted', { 'cleanup.policy': 'compact' }),
    await made(kept('until erased'), 'from-before', { 'retention.ms': '-1' }),
    await made(kept({ retentionMs: 1000 }), 'short', { ...week, ...arrival }),
    await start({ ...topics.modelEvents, name: 'nlu.short', partitions: 3 }),
  ];
  assert.deepEqual(found, [
    'Topic nlu.by-default would lose records because of retention.ms=604800000; set it to -1.',
    'Topic nlu.a-week would lose records because of retention.ms=604800000; set it to -1.',
    'Topic nlu.both would lose records because of retention.bytes=1000000; set it to -1.',
    'Topic nlu.compacted would lose records by compaction; set cleanup.policy=delete, and retention.ms=-1.',
    'taken',
    'taken',
    'Topic nlu.short has 1 partitions and must have 3; see docs/operations.md on changing them.',
  ]);
});

it('a start refuses topics that would refuse dead letters, expire them at once, or drop tombstones too early', async () => {
  const found = [
    await made(topics.deadLetters, 'small-letters', { 'message.timestamp.type': 'LogAppendTime' }),
    await made(topics.deadLetters, 'letters-of-last-year', { 'max.message.bytes': '4194304' }),
    await made(topics.routingDecisions, 'forgetful', {
      'cleanup.policy': 'compact',
      'delete.retention.ms': '2592000000',
    }),
    await made(topics.reviewQueue, 'a-day', { 'cleanup.policy': 'compact' }),
  ];
  assert.deepEqual(found, [
    'Topic nlu.small-letters would refuse large records because of max.message.bytes=1048588; set it to 4194304.',
    'Topic nlu.letters-of-last-year would lose old records because of message.timestamp.type=CreateTime; set it to LogAppendTime.',
    'Topic nlu.forgetful would drop tombstones too early because of delete.retention.ms=2592000000; set it to 3153600000000.',
    'Topic nlu.a-day would drop tombstones too early because of delete.retention.ms=86400000; set it to 2592000000.',
  ]);
});

it('the printed commands create topics, and correct the settings of existing ones', async () => {
  const named = (topic: Topic, name: string) => ({ ...topic, name: `nlu.${name}` });
  const wanted = [named(topics.deadLetters, 'made'), named(topics.routingDecisions, 'set')];
  await admin.createTopics({ topics: [{ topic: 'nlu.set', numPartitions: PARTITIONS }] });
  assert.match(String(await start(...wanted.slice(1))), /retention\.ms=604800000/);
  const java = (tool: string) => `java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$LIBRARIES/*" ${tool} "$@"`;
  const script = `kafka-topics.sh() { ${java('org.apache.kafka.tools.TopicCommand')}; }
    kafka-configs.sh() { ${java('kafka.admin.ConfigCommand')}; }
    ${drawTopics(1, wanted)}`;
  const env = {
    KAFKA_BROKERS: server.brokers,
    ADMIN_PROPERTIES: '/dev/null',
    LIBRARIES: await kafkaLibraries(server.cache, () => undefined),
  };
  await promisify(execFile)('bash', ['-ec', script], { env: { ...process.env, ...env } });
  assert.equal(await start(...wanted), 'taken');
  for (const topic of wanted) {
    const expected = topicSettings(topic, 1);
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic.name, configNames: Object.keys(expected) }],
    });
    const entries = resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]) ?? [];
    assert.deepEqual(Object.fromEntries(entries), expected);
  }
});
