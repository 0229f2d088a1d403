/** `npm run docs`: writes docs/topics.md from topology.ts and pipeline.ts. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { format, resolveConfig } from 'prettier';
import { processors, projections } from '../pipeline.ts';
import type { Topic } from '../stream/topic.ts';
import { PARTITIONS, topics } from '../topology.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const file = path.join(import.meta.dirname, 'topics.md');

const code = (text: string) => `\`${text}\``;
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
const list = (all: readonly Topic[]) => [...new Set(all.map(({ name }) => code(name)))].join(', ') || '–';

function kept({ keeps }: Topic): string {
  return typeof keeps === 'string' ? keeps : `${keeps.retentionMs / DAY_MS} days`;
}

function topicRows(): string[][] {
  return Object.values<Topic>(topics).map((topic) => [
    code(topic.name),
    topic.key,
    code(topic.schema),
    kept(topic),
    String(topic.partitions ?? PARTITIONS),
    topic.holds,
  ]);
}

function rightsRows(): string[][] {
  const processing = processors.map(({ name, inputs, outputs, table: own }) => [
    code(name),
    list([...inputs.map(({ topic }) => topic), own]),
    list([...outputs, own, topics.deadLetters]),
    `${code(name)}, ${code(`${name}-restore`)}`,
    code(`${name}-*`),
  ]);
  const projecting = projections.map(({ name, topic }) => [
    code(name),
    list([topic]),
    list([topics.deadLetters]),
    code(name),
    '–',
  ]);
  return [...processing, ...projecting];
}

/** The page as it must be. */
export async function topicsPage(): Promise<string> {
  const text = `# Topics

Made by \`npm run docs\` from \`topology.ts\` and \`pipeline.ts\`; a test compares it. Values are Avro in Confluent framing, subject
\`<topic>-value\`, under FULL_TRANSITIVE.

${table(['topic', 'key', 'record', 'kept', 'partitions', 'holds'], topicRows())}

## Least rights

What a processor or projection needs of Kafka, if each has a user of its own. Every one needs \`Describe\` on all topics too, because it
checks their partitions at the start; creating them needs \`Create\`, so let somebody with that right start once before. Processors
need \`IdempotentWrite\` where the cluster still asks for it. What services need is in [scaling.md](scaling.md).

${table(['component', 'reads', 'writes', 'groups', 'transactional ids'], rightsRows())}
`;
  return format(text, { ...(await resolveConfig(file)), parser: 'markdown' });
}

if (process.argv[1] === import.meta.filename) writeFileSync(file, await topicsPage());
