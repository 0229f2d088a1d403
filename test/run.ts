/**
 * `npm test`: every level, one after the other, and a closing line of counts. `npm test -- policy topology` runs some.
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
  'status',
  'trainer',
  'producers',
  'label-studio',
  'deploy',
  'integration',
  'crash',
  'guards',
] as const;
const root = path.join(import.meta.dirname);
const chosen = process.argv.length > 2 ? process.argv.slice(2) : LEVELS;
let [passed, failed] = [0, 0];

for (const level of chosen) {
  const folder = path.join(root, level);
  const files = existsSync(folder)
    ? readdirSync(folder)
        .filter((file) => file.endsWith('.test.ts'))
        .map((file) => path.join(folder, file))
    : [];
  if (files.length === 0) throw new Error(`There are no tests in test/${level}; the levels are ${LEVELS.join(', ')}.`);
  process.stdout.write(`\n── ${level}\n`);
  await run(files, level === 'crash' ? 1 : 2);
}

process.stdout.write(`\n${String(passed)} passed, ${String(failed)} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

/** `atOnce` files at a time: two wait more than they work, but each may start servers, and there may be two cores only. */
async function run(files: readonly string[], atOnce: number): Promise<void> {
  const args = ['--import', 'tsx', '--test', `--test-concurrency=${atOnce}`, '--test-reporter=spec', ...files];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '96', FORCE_COLOR: '0', LABEL_STUDIO_ENV_FILE: '' },
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  // The last one of each: what failed is told again after the counts, at any length.
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
