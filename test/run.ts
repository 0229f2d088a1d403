/**
 * `npm test`: every level and a closing line of counts. `npm test -- policy topology` runs some.
 * The servers that a level needs are started by its files; a missing one fails the test.
 */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const LEVELS = [
  'policy',
  'schemas',
  'topology',
  'runtime',
  'http',
  'trainer',
  'producers',
  'label-studio',
  'deploy',
  'integration',
];
/** These take minutes and run last, together: guards wait for time-outs most of the time, and leave the machine to a crash test. */
const LONG: readonly string[] = ['crash', 'guards'];
/** Begun in this order, the longest first, so that no lane is idle at the end. */
const LONGEST_FIRST = ['workers', 'processor-guards', 'projection-guards', 'rebalance'];
/**
 * A file is ended after this time, whatever it waits for: a hook that failed may leave servers that keep its process. Tests of `LONG`
 * have shorter limits of their own.
 */
const FILE_MS = 20 * 60_000;
const LONG_FILE_MS = 90 * 60_000;
/** Files that run at the same time. With two, both cores of a small machine are idle for a quarter of the time; a crash test gets more of it. */
const LANES = 3;
const LONG_LANES = 2;

Object.assign(process.env, {
  UV_THREADPOOL_SIZE: '96',
  FORCE_COLOR: '0',
  LABEL_STUDIO_ENV_FILE: '',
  JAVA_TOOL_OPTIONS: '-XX:TieredStopAtLevel=1', // brokers that live for a minute: the second compiler is a fifth of all processor time
});
const chosen = process.argv.length > 2 ? process.argv.slice(2) : [...LEVELS, ...LONG];
const files = new Map(chosen.map((level) => [level, filesOf(level)]));
let [passed, failed] = [0, 0];
for (const [levels, concurrency, timeout] of [
  [chosen.filter((level) => !LONG.includes(level)), LANES, FILE_MS],
  [chosen.filter((level) => LONG.includes(level)), LONG_LANES, LONG_FILE_MS],
] as const)
  if (levels.length > 0) await runLevels(levels, { concurrency, timeout });

process.stdout.write(`\n${String(passed)} passed, ${String(failed)} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

function filesOf(level: string): readonly string[] {
  const folder = path.join(import.meta.dirname, level);
  const tests = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.test.ts')) : [];
  if (tests.length === 0)
    throw new Error(`There are no tests in test/${level}; the levels are ${[...LEVELS, ...LONG].join(', ')}.`);
  return tests.sort().map((file) => path.join(folder, file));
}

async function runLevels(
  levels: readonly string[],
  limits: { readonly concurrency: number; readonly timeout: number },
): Promise<void> {
  process.stdout.write(`\n── ${levels.join(', ')}\n`);
  const turn = (file: string) => LONGEST_FIRST.indexOf(path.basename(file, '.test.ts'));
  const tests = levels.flatMap((level) => files.get(level) ?? []).sort((a, b) => turn(a) - turn(b));
  const results = run({ files: tests, ...limits });
  const counts = new Map<string, number>();
  results.on('test:diagnostic', ({ nesting, message }) => {
    const [, name, count] = /^(\w+) (\d+)$/.exec(message) ?? [];
    if (nesting === 0 && name !== undefined) counts.set(name, Number(count));
  });
  let failures = 0;
  results.on('test:fail', ({ todo }) => (failures += todo === undefined || todo === false ? 1 : 0));
  for await (const text of results.compose(new spec()) as AsyncIterable<string>) process.stdout.write(text);
  const count = (name: string) => counts.get(name) ?? 0;
  passed += count('pass');
  const bad = count('fail') + count('cancelled');
  failed += bad > 0 || failures === 0 ? bad : 1; // a suite whose hook failed is in no count
}
