/**
 * The Kafka rights of each component, for clusters where each has a user of its name. They are derived from topology.ts and pipeline.ts for
 * docs/topics.md, for `samvad topology --acls`, and for a test that runs the pipeline with only these rights.
 */
import { processors, projections, services } from '../pipeline.ts';
import { inputTopics } from '../producers/input-topics.ts';
import { ADOPTION_ID } from '../producers/policies.ts';
import { REPLAY_ID } from '../runtime/dead-letters.ts';
import { READER_GROUP } from '../runtime/kafka-clients.ts';
import { TOPIC_PREFIX } from '../stream/topic.ts';
import type { Topic } from '../stream/topic.ts';
import { topics } from '../topology.ts';
import { modelLogAccess } from '../trainer/model-log.ts';
import { trainer } from '../trainer/trainer.ts';

/** A Kafka user and how it uses the cluster. */
export interface KafkaUser {
  readonly name: string;
  readonly reads: readonly Topic[];
  readonly writes: readonly Topic[];
  /** The consumer group that it joins. */
  readonly group?: string;
  /** Consumer groups whose offsets it reads. */
  readonly watches: readonly string[];
  /** A name that ends in `*` is a prefix. */
  readonly transactionalIds: readonly string[];
  readonly createsTopics?: boolean;
}

/** One entry of the cluster's access control list. */
export interface Grant {
  readonly resource: 'topic' | 'group' | 'transactional-id';
  readonly name: string;
  readonly prefixed: boolean;
  readonly operation: 'Create' | 'Describe' | 'DescribeConfigs' | 'Read' | 'Write';
}

const { policies, deadLetters } = topics;
const groupsOfProcessors = processors.map(({ name }) => name);

/** Every component, the API, an NLU service that produces directly, and the operator. */
export const kafkaUsers: readonly KafkaUser[] = [
  ...processors.map(({ name, inputs, outputs, table }) => ({
    name,
    reads: [...inputs.map(({ topic }) => topic), table],
    // A record in another partition than that of its key is sent to its topic again (`stream/batch.ts`).
    writes: [...outputs, table, deadLetters, ...inputs.filter(({ keyOf }) => keyOf).map(({ topic }) => topic)],
    group: name,
    watches: [],
    transactionalIds: [`${name}-*`],
  })),
  ...projections.map(({ name, topic }) => ({
    name,
    reads: [topic],
    writes: [deadLetters],
    group: name,
    watches: [],
    transactionalIds: [],
  })),
  ...services.map(({ name, access: { watchesProgress = false, ...access } }) => ({
    name,
    ...access,
    group: name,
    watches: watchesProgress ? groupsOfProcessors : [],
  })),
  {
    name: 'http',
    reads: [
      ...[topics.conversationEvents, topics.approvedSampleCounts],
      ...[topics.modelEvents, topics.adoptedPolicies, deadLetters],
    ],
    writes: [...inputTopics, policies, deadLetters],
    watches: groupsOfProcessors,
    transactionalIds: [ADOPTION_ID, REPLAY_ID],
  },
  { name: 'nlu-service', reads: [], writes: inputTopics, watches: [], transactionalIds: [] },
  {
    name: 'operator',
    reads: Object.values<Topic>(topics),
    writes: [...inputTopics, policies, ...modelLogAccess.writes, topics.exportJobs, topics.dailyReports, deadLetters],
    group: trainer.name, // `samvad train` trains itself when no trainer runs
    watches: groupsOfProcessors,
    transactionalIds: ['samvad-*'],
    createsTopics: true,
  },
];

/** Exactly the entries that the user needs. */
export function grantsOf({
  reads,
  writes,
  group,
  watches,
  transactionalIds,
  createsTopics = false,
}: KafkaUser): Grant[] {
  const all = { resource: 'topic', name: TOPIC_PREFIX, prefixed: true } as const;
  const on = (resource: Grant['resource'], operation: Grant['operation']) => (name: string) => ({
    ...{ resource, operation },
    name: name.replace(/\*$/, ''),
    prefixed: name.endsWith('*'),
  });
  const named = (list: readonly Topic[]) => [...new Set(list.map(({ name }) => name))];
  return [
    { ...all, operation: 'Describe' },
    ...(createsTopics ? (['Create', 'DescribeConfigs'] as const).map((operation) => ({ ...all, operation })) : []),
    ...named(reads).map(on('topic', 'Read')),
    ...named(writes).map(on('topic', 'Write')),
    ...(group === undefined ? [] : [on('group', 'Read')(group)]),
    ...[...watches, ...(reads.length > 0 ? [READER_GROUP] : [])].map(on('group', 'Describe')),
    ...transactionalIds.map(on('transactional-id', 'Write')),
  ];
}

/** Commands of Kafka's tool that grant these rights; entries that differ only in name share one. */
export function aclCommands(user: KafkaUser): string[] {
  const commands = new Map<string, string[]>();
  for (const { resource, name, prefixed, operation } of grantsOf(user)) {
    const who = `--allow-principal User:${user.name} --operation ${operation}`;
    const command = `${ACL_TOOL} ${who}${prefixed ? ' --resource-pattern-type prefixed' : ''}`;
    const key = `${command} ${resource}`;
    commands.set(key, [...(commands.get(key) ?? [command]), `--${resource} ${name}`]);
  }
  return [...commands.values()].map((words) => words.join(' '));
}

const ACL_TOOL = 'kafka-acls.sh --bootstrap-server "$KAFKA_BROKERS" --command-config "$ADMIN_PROPERTIES" --add';
