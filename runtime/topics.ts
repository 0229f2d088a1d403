/** Creates missing topics, and refuses existing ones whose partitions or settings do not fit. */
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import type { Admin, Kafka } from 'kafkajs';
import type { Topic } from '../stream/topic.ts';

const PASSING = new Set(['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE']);
const KNOWN_MS = 10_000;
const DAY_MS = 24 * 60 * 60 * 1000;
/** How long a compacted topic may keep superseded records, and with them erased conversations. */
const COMPACTED_MS = 7 * DAY_MS;
/** How long a topic that is kept until erased keeps even erased records, so that a reader that counts its events may be away this long. */
const UNTOUCHED_MS = 6 * DAY_MS;
/** How long one segment is written to. Only closed segments are compacted, or deleted when the retention of their last record is over. */
const SEGMENT_MS = DAY_MS;
/** How long a compacted topic keeps tombstones at least: a component that was away for less still learns what was erased. */
const TOMBSTONES_MS = 30 * DAY_MS;
/** A hundred years. The broker adds this to the current time, and with the largest number that would overflow. */
const FOR_GOOD_MS = 36_500 * DAY_MS;

/** A topic on the cluster that the pipeline can't run on. */
export class TopicMismatch extends Error {
  override readonly name = 'TopicMismatch';
}

/**
 * Creates the missing topics, with `partitions` partitions unless the topic has its own number, and returns their names.
 * @throws TopicMismatch when a topic has a different number of partitions, because one task would not get all records of a conversation,
 * or when its settings would lose or refuse records.
 */
export async function ensureTopics(
  kafka: Kafka,
  topics: readonly Topic[],
  partitions: number,
  replication: number,
): Promise<string[]> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter(({ name }) => !existing.has(name));
    if (missing.length > 0)
      await admin.createTopics({
        waitForLeaders: false, // waiting fails while the broker does not know the topic yet
        topics: missing.map((topic) => ({
          topic: topic.name,
          numPartitions: topic.partitions ?? partitions,
          replicationFactor: replication,
          configEntries: Object.entries(topicSettings(topic, replication)).map(([name, value]) => ({ name, value })),
        })),
      });
    const found = await whenKnown(() => admin.fetchTopicMetadata({ topics: topics.map(({ name }) => name) }));
    const wanted = new Map(topics.map((topic) => [topic.name, topic.partitions ?? partitions]));
    for (const { name, partitions: actual } of found.topics) {
      if (actual.length !== wanted.get(name)) {
        throw new TopicMismatch(
          `Topic ${name} has ${String(actual.length)} partitions and must have ${String(wanted.get(name))}; see docs/operations.md on changing them.`,
        );
      }
    }
    const lost = await losses(admin, topics);
    if (lost.length > 0)
      throw new TopicMismatch(`${lost.join('\n')}\n\`samvad topology --topics\` prints the commands that set it.`);
    return missing.map(({ name }) => name);
  } finally {
    await admin.disconnect();
  }
}

/** Repeats a request while a topic that was just created is unknown to the broker or has no leader. */
async function whenKnown<T>(ask: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + KNOWN_MS; ;) {
    try {
      return await ask();
    } catch (error) {
      if (!PASSING.has(typeOf(error)) || Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

/** The broker's name for an error; empty if the error has none. */
function typeOf(error: unknown): string {
  return error instanceof Error && 'type' in error ? String(error.type) : '';
}

/**
 * What topics that another tool or an earlier release created would lose or refuse, one sentence each. Empty if the user may not read topic
 * settings.
 */
async function losses(admin: Admin, topics: readonly Topic[]): Promise<readonly string[]> {
  const resources = topics.map(({ name }) => ({
    type: kafkajs.ConfigResourceTypes.TOPIC,
    name,
    configNames: LOOKED_AT,
  }));
  const found = await admin.describeConfigs({ includeSynonyms: false, resources }).catch((error: unknown) => {
    if (typeOf(error) === 'TOPIC_AUTHORIZATION_FAILED') return { resources: [] };
    throw error;
  });
  const byName = new Map(topics.map((topic) => [topic.name, topic]));
  return found.resources.flatMap(({ resourceName, configEntries }) => {
    const topic = byName.get(resourceName);
    const settings = Object.fromEntries(configEntries.map(({ configName, configValue }) => [configName, configValue]));
    return topic ? lossesOf(topic, settings).map((loss) => `Topic ${resourceName} ${loss}.`) : [];
  });
}

const LOOKED_AT = [
  ...['cleanup.policy', 'retention.ms', 'retention.bytes', 'delete.retention.ms'],
  ...['max.message.bytes', 'message.timestamp.type'],
];

function lossesOf(topic: Topic, actual: Readonly<Record<string, string>>): string[] {
  const { keeps } = topic;
  const wanted = topicSettings(topic, 1);
  const policy = actual['cleanup.policy'] ?? '';
  const found: string[] = [];
  if (typeof keeps === 'string') {
    const limited = ['retention.ms', 'retention.bytes'].filter((name) => Number(actual[name]) >= 0);
    if (policy.includes('delete') && limited.length > 0)
      found.push(
        `would lose records because of ${limited.map((name) => `${name}=${actual[name] ?? ''}`).join(', ')}; set it to -1`,
      );
    else if (policy.includes('compact') && keeps === 'for ever')
      found.push('would lose records by compaction; set cleanup.policy=delete, and retention.ms=-1');
  }
  const less = (name: string) => Number(actual[name]) < Number(wanted[name]);
  const differs = (name: string, why: string) =>
    found.push(`${why} because of ${name}=${actual[name] ?? ''}; set it to ${wanted[name] ?? ''}`);
  if (policy.includes('compact') && less('delete.retention.ms'))
    differs('delete.retention.ms', 'would drop tombstones too early');
  if (less('max.message.bytes')) differs('max.message.bytes', 'would refuse large records');
  if (
    wanted['message.timestamp.type'] !== undefined &&
    wanted['message.timestamp.type'] !== actual['message.timestamp.type']
  )
    differs('message.timestamp.type', 'would lose old records');
  return found;
}

/** The settings that a topic must have. All others are left to the broker. */
export function topicSettings(topic: Topic, replicationFactor: number): Readonly<Record<string, string>> {
  const { keeps } = topic;
  const compacted = keeps === 'latest per key' || keeps === 'until erased';
  return {
    'cleanup.policy': compacted ? 'compact' : 'delete',
    ...(keeps === 'until erased' && { 'min.compaction.lag.ms': String(UNTOUCHED_MS) }),
    ...(compacted && {
      'max.compaction.lag.ms': String(COMPACTED_MS),
      'delete.retention.ms': String(topic.keepsTombstones === true ? FOR_GOOD_MS : TOMBSTONES_MS),
    }),
    ...((keeps === 'until erased' || typeof keeps === 'object') && { 'segment.ms': String(SEGMENT_MS) }),
    'retention.ms': typeof keeps === 'object' ? String(keeps.retentionMs) : '-1',
    'min.insync.replicas': replicationFactor > 2 ? '2' : '1',
    ...(topic.maxRecordBytes !== undefined && { 'max.message.bytes': String(topic.maxRecordBytes) }),
    // Other producers may use compression that our readers do not support: the broker stores records in one that they do.
    ...(topic.external && { 'compression.type': 'lz4' }),
    // Retention counts from a record's arrival, not from its event time. In external topics "in the future" is also judged against the
    // arrival time, so that a replay decides as the first run did.
    ...((topic.external || typeof keeps === 'object') && { 'message.timestamp.type': 'LogAppendTime' }),
  };
}
