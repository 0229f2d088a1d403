/** Creates the topics, and refuses to run on ones that are not as `topology.ts` says. */
import type { ITopicConfig, Kafka } from 'kafkajs';
import type { Topic } from '../stream/topic.ts';

/** A topic on the cluster that the pipeline can't run on. */
export class TopicMismatch extends Error {}

/**
 * Creates what is missing, with `partitions` partitions where the topic does not say otherwise.
 * @throws TopicMismatch when a topic has another number of partitions: the records of one conversation would not meet.
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
        waitForLeaders: true,
        topics: missing.map((topic) => topicConfig(topic, topic.partitions ?? partitions, replication)),
      });
    const { topics: found } = await admin.fetchTopicMetadata({ topics: topics.map(({ name }) => name) });
    const wanted = new Map(topics.map((topic) => [topic.name, topic.partitions ?? partitions]));
    for (const { name, partitions: actual } of found) {
      if (actual.length !== wanted.get(name)) {
        throw new TopicMismatch(
          `Topic ${name} has ${String(actual.length)} partitions and must have ${String(wanted.get(name))}; see docs/operations.md on changing them.`,
        );
      }
    }
    return missing.map(({ name }) => name);
  } finally {
    await admin.disconnect();
  }
}

function topicConfig(topic: Topic, numPartitions: number, replicationFactor: number): ITopicConfig {
  const { keeps } = topic;
  const config: Record<string, string> = {
    'cleanup.policy': keeps === 'latest per key' ? 'compact' : 'delete',
    'retention.ms': typeof keeps === 'object' ? String(keeps.retentionMs) : '-1',
    'min.insync.replicas': replicationFactor > 2 ? '2' : '1',
    ...(topic.maxRecordBytes !== undefined && { 'max.message.bytes': String(topic.maxRecordBytes) }),
    // Other producers may send codecs that our readers have not: the broker stores one that they have. The arrival
    // time it stamps is what "in the future" is measured against, so that a replay judges as the first run did.
    ...(topic.external && { 'compression.type': 'lz4', 'message.timestamp.type': 'LogAppendTime' }),
  };
  return {
    topic: topic.name,
    numPartitions,
    replicationFactor,
    configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
  };
}
