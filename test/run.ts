/**
 * `npm test`: every level and a closing line of counts. `npm test -- policy topology` runs some.
 * The servers that a level needs are started by its files; a missing one fails the test.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

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
/**
 * A file is ended after this time, whatever it waits for: a hook that failed may leave servers that keep its process. Tests of `LONG`
 * have shorter limits of their own.
 */
const FILE_MS = 20 * 60_000;
const LONG_FILE_MS = 90 * 60_000;
const root = path.join(import.meta.dirname);
const chosen = process.argv.length > 2 ? process.argv.slice(2) : [...LEVELS, ...LONG];
let [passed, failed] = [0, 0];

const files = new Map(chosen.map((level) => [level, filesOf(level)]));
for (const [levels, fileMs] of [
  [chosen.filter((level) => !LONG.includes(level)), FILE_MS],
  [chosen.filter((level) => LONG.includes(level)), LONG_FILE_MS],
] as const)
  if (levels.length > 0) await run(levels, fileMs);

process.stdout.write(`\n${String(passed)} passed, ${String(failed)} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

function filesOf(level: string): readonly string[] {
  const folder = path.join(root, level);
  const tests = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.test.ts')) : [];
  if (tests.length === 0)
    throw new Error(`There are no tests in test/${level}; the levels are ${[...LEVELS, ...LONG].join(', ')}.`);
  return tests.map((file) => path.join(folder, file));
}

/** Two files at a time: they wait more than they work, but each may start servers, and there may be two cores only. */
async function run(levels: readonly string[], fileMs: number): Promise<void> {
  process.stdout.write(`\n── ${levels.join(', ')}\n`);
  const tests = levels.flatMap((level) => files.get(level) ?? []);
  const limits = ['--test-concurrency=2', `--test-timeout=${fileMs}`];
  const args = ['--import', 'tsx', '--test', ...limits, '--test-reporter=spec', ...tests];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      UV_THREADPOOL_SIZE: '96',
      FORCE_COLOR: '0',
      LABEL_STUDIO_ENV_FILE: '',
      JAVA_TOOL_OPTIONS: '-XX:TieredStopAtLevel=1', // brokers that live for a minute: the second compiler is a fifth of all processor time
    },
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  // Keeps the last count of each name; the reporter repeats what failed after the counts, at any length.
  const counts = new Map<string, number>();
  for await (const line of createInterface({ input: child.stdout })) {
    process.stdout.write(`${line}\n`);
    const [, name, count] = /^ℹ (\w+) (\d+)$/.exec(line) ?? [];
    if (name !== undefined) counts.set(name, Number(count));
  }
  const code = await ended;
  const count = (name: string) => counts.get(name) ?? 0;
  passed += count('pass');
  const bad = count('fail') + count('cancelled');
  failed += bad > 0 || code === 0 ? bad : 1;
}
