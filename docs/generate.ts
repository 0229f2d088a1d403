/** `npm run docs`: writes docs/topics.md from topology.ts and pipeline.ts, and docs/licences.md from the lock file. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { format, resolveConfig } from 'prettier';
import { kafkaUsers } from '../app/rights.ts';
import { READER_GROUP } from '../runtime/kafka-clients.ts';
import { describeKey } from '../stream/topic.ts';
import type { Topic } from '../stream/topic.ts';
import { PARTITIONS, topics } from '../topology.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const files = {
  topics: path.join(import.meta.dirname, 'topics.md'),
  licences: path.join(import.meta.dirname, 'licences.md'),
};

const code = (text: string) => `\`${text}\``;
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
const list = (some: readonly Topic[]) =>
  some.length === Object.keys(topics).length
    ? 'all'
    : [...new Set(some.map(({ name }) => code(name)))].join(', ') || '–';

function kept({ keeps }: Topic): string {
  return typeof keeps === 'string' ? keeps : `${keeps.retentionMs / DAY_MS} days`;
}

function topicRows(): string[][] {
  return Object.values<Topic>(topics).map((topic) => [
    code(topic.name),
    describeKey(topic),
    code(topic.schema),
    kept(topic),
    String(topic.partitions ?? PARTITIONS),
    topic.holds,
  ]);
}

function rightsRows(): string[][] {
  const names = (all: readonly string[]) => all.map(code).join(', ') || '–';
  return kafkaUsers.map(({ name, reads, writes, group, transactionalIds }) => [
    code(name),
    list(reads),
    list(writes),
    names(group === undefined ? [] : [group]),
    names(transactionalIds),
  ]);
}

/** The page as it must be. */
export async function topicsPage(): Promise<string> {
  const watching = kafkaUsers.filter(({ watches }) => watches.length > 0).map(({ name }) => name);
  const text = `# Topics

Made by \`npm run docs\` from \`topology.ts\` and \`pipeline.ts\`; a test compares it. Values are Avro in Confluent framing, subject
\`<topic>-value\`, under FULL_TRANSITIVE. \`npx samvad topology --topics\` prints each topic's settings, as commands of Kafka's own tools that make it.

${table(['topic', 'key', 'record', 'kept', 'partitions', 'holds'], topicRows())}

## Least rights

What each component needs of Kafka, if it has a user of its own that is named like it. \`npx samvad topology --acls\` prints the commands
that grant it; \`test/integration/secured.test.ts\` runs all of them on exactly that. To read is \`Read\`, to write \`Write\`, a group
\`Read\`, a transactional id \`Write\`; what ends in \`*\` is a prefix. Everybody has \`Describe\` on the prefix \`nlu.\`, because each checks the
topics at the start, and whoever reads has it on the group \`${READER_GROUP}\`, which nobody joins; ${watching.map(code).join(', ')} have it on the groups of the
processors, for their progress. \`operator\` is whoever types commands. It has \`Create\` on the prefix too, so let it start once before the
others: \`npx samvad status\` makes topics and schemas.

${table(['component', 'reads', 'writes', 'group', 'transactional ids'], rightsRows())}
`;
  return formatted(text);
}

/** What the lock file does not know: from the LICENSE file of the package. */
const UNDECLARED: Readonly<Record<string, string>> = { '@kafkajs/confluent-schema-registry': 'MIT' };

/** The packages that a running Samvad has with it, by licence, in SPDX's words. */
export function packagesByLicence(): ReadonlyMap<string, readonly string[]> {
  const lock = JSON.parse(readFileSync(path.join(import.meta.dirname, '..', 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version?: string; license?: string; dev?: boolean; devOptional?: boolean }>;
  };
  const byLicence = new Map<string, string[]>();
  for (const [place, { version = '', license, dev, devOptional }] of Object.entries(lock.packages)) {
    if (place === '' || dev === true || devOptional === true) continue;
    const name = place.replace(/^.*node_modules\//, '');
    const licence = license ?? UNDECLARED[name] ?? 'none declared';
    byLicence.set(licence, [...(byLicence.get(licence) ?? []), `${name} ${version}`]);
  }
  return new Map([...byLicence].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The page as it must be. */
export async function licencesPage(): Promise<string> {
  const sections = [...packagesByLicence()].map(
    ([licence, names]) => `## ${licence}\n\n${String(names.length)}: ${[...names].sort().join(', ')}`,
  );
  return formatted(`# Licences

Made by \`npm run docs\` from \`package-lock.json\`; a test compares it, and fails on a licence that nobody has looked at. Samvad itself is
under the [Apache licence 2.0](../LICENSE). The list has every package that runs with it, for every platform; tools for tests and builds
are left out.

The LGPL covers libvips, which \`@xenova/transformers\` brings for images: it is a library of its own, and Samvad never calls it. Kafka and Apicurio
Registry, which the embedded platform fetches from Maven Central, are under the Apache licence 2.0, PostgreSQL under the PostgreSQL licence.

${sections.join('\n\n')}
`);
}

async function formatted(text: string): Promise<string> {
  return format(text, { ...(await resolveConfig(files.topics)), parser: 'markdown' });
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(files.topics, await topicsPage());
  writeFileSync(files.licences, await licencesPage());
}
