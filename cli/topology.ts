import { Command, Option } from 'commander';
import { describePipeline } from '../app/describe-pipeline.ts';
import { aclCommands, kafkaUsers } from '../app/rights.ts';
import { columns, print, printText, style } from '../app/terminal.ts';
import { readConfig } from '../config.ts';
import { processors, projections } from '../pipeline.ts';
import { topicSettings } from '../runtime/topics.ts';
import { describeKey } from '../stream/topic.ts';
import type { Topic } from '../stream/topic.ts';
import { PARTITIONS, topics } from '../topology.ts';

interface Flags {
  readonly mermaid?: boolean;
  readonly topics?: boolean;
  readonly acls?: boolean;
  readonly json?: boolean;
}

/** `samvad topology`: draws the pipeline from its definition. */
export function topologyCommand(): Command {
  return new Command('topology')
    .description('draw the pipeline')
    .addOption(new Option('--mermaid', 'as a Mermaid flow chart').conflicts(['topics', 'acls', 'json']))
    .addOption(
      new Option('--topics', 'print the commands that create the topics and configure existing ones').conflicts([
        'acls',
        'json',
      ]),
    )
    .addOption(
      new Option('--acls', "print the commands that give each component's Kafka user its rights").conflicts('json'),
    )
    .option('--json', 'as JSON')
    .action(({ mermaid, topics: made, acls, json }: Flags) => {
      if (made === true) return printText(drawTopics(readConfig().replication));
      if (acls === true) return printText(drawAcls());
      print(json, describePipeline(), mermaid === true ? drawMermaid() : drawText(), 2);
    });
}

function drawText(): string {
  const lines = processors.flatMap(({ name, does, inputs, outputs, table }) => [
    `${style('bold', name)}  ${style('dim', does)}`,
    ...inputs.map(({ topic }) => `  ◀ ${topic.name}`),
    ...outputs.map((topic) => `  ▶ ${topic.name}`),
    `  ▶ ${table.name} ${style('dim', '(its table)')}`,
    '',
  ]);
  const tables = projections.flatMap(({ name, topic, table }) => [
    style('bold', name),
    `  ◀ ${topic.name}`,
    `  ▶ Postgres ${table}`,
    '',
  ]);
  const rows = Object.values(topics).map((topic: Topic) => [topic.name, keeps(topic), describeKey(topic), topic.holds]);
  return `${[...lines, ...tables].join('\n')}\n${style('bold', 'Topics')}\n${columns(rows)}`;
}

/** Commands of Kafka's tools that create missing topics and configure existing ones. They may be run repeatedly. */
export function drawTopics(replication: number, all: readonly Topic[] = Object.values<Topic>(topics)): string {
  const server = '--bootstrap-server "$KAFKA_BROKERS" --command-config "$ADMIN_PROPERTIES"';
  const drawn = all.map((topic) => {
    const settings = Object.entries(topicSettings(topic, replication));
    // An operator may have raised these settings of an existing topic; lowering them could lose records.
    const raised = [
      ...(replication > 2 ? [] : ['min.insync.replicas']),
      ...(typeof topic.keeps === 'object' ? ['retention.ms'] : []),
    ];
    const set = settings.filter(([name]) => !raised.includes(name)).map(([name, value]) => `${name}=${value}`);
    const made = settings.map(([name, value]) => `--config ${name}=${value}`);
    const size = `--partitions ${String(topic.partitions ?? PARTITIONS)} --replication-factor ${String(replication)}`;
    return [
      `# ${topic.name}`,
      `kafka-topics.sh ${server} --create --if-not-exists --topic ${topic.name} ${size} ${made.join(' ')}`,
      `kafka-configs.sh ${server} --alter --topic ${topic.name} --add-config ${set.join(',')}`,
    ];
  });
  return drawn.map((lines) => lines.join('\n')).join('\n\n');
}

function drawAcls(): string {
  return kafkaUsers.map((user) => `# ${user.name}\n${aclCommands(user).join('\n')}`).join('\n\n');
}

/** A Mermaid flow chart: boxes are topics, rounded boxes processors, cylinders tables. */
function drawMermaid(): string {
  const id = (name: string) => name.replaceAll(/[^a-z]/g, '_');
  const lines = Object.values(topics).map(({ name }) => `  ${id(name)}[${name}]`);
  for (const { name, inputs, outputs, table } of processors) {
    lines.push(`  ${id(name)}([${name}])`);
    for (const { topic } of inputs) lines.push(`  ${id(topic.name)} --> ${id(name)}`);
    for (const topic of [...outputs, table]) lines.push(`  ${id(name)} --> ${id(topic.name)}`);
  }
  for (const { name, topic, table } of projections)
    lines.push(`  ${id(topic.name)} --> ${id(`pg ${name}`)}[(${table})]`);
  return `flowchart LR\n${lines.join('\n')}`;
}

function keeps({ keeps: retention }: Topic): string {
  return typeof retention === 'string' ? retention : `${String(retention.retentionMs / 86_400_000)} days`;
}
