/**
 * `npm run bench:accuracy [-- task…]`: accuracy of the trainer's defaults on public data, beside linear SVM on TF-IDF.
 * Every number is of the ONNX file, as it would serve. Median of three seeds; one run a child process, for its memory.
 * `--json=FILE` keeps each run's numbers; runs that FILE has from the same defaults are not made again.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { defaults } from '../trainer/train.ts';
import { dataFolder, tasks } from './accuracy-tasks.ts';
import type { RunResult } from './accuracy-run.ts';
import { median } from './median.ts';

const SEEDS = [1, 2, 3];
const COLUMNS = [
  'task',
  'train',
  'test',
  'linear SVM',
  'aim',
  'accuracy',
  'seeds',
  'macro-F1',
  'ECE',
  'train s',
  'peak MB',
  'file MB',
  'p50 ms',
  'texts/s',
];

/** What FILE holds: runs by task and seed, all made with `defaults`. */
interface Kept {
  readonly defaults: string;
  readonly runs: Record<string, RunResult>;
}

dataFolder();
const { values, positionals: chosen } = parseArgs({ allowPositionals: true, options: { json: { type: 'string' } } });
const kept = readKept(values.json);
const rows: (readonly string[])[] = [];
const notes: string[] = [];
for (const task of tasks) {
  if (chosen.length > 0 && !chosen.includes(task.name)) continue;
  const runs = SEEDS.map((seed) => runOnce(task.name, seed));
  const of = (pick: (run: RunResult) => number) => median(runs.map(pick));
  rows.push([
    task.name,
    String(runs[0]?.trainRows),
    String(runs[0]?.testRows),
    task.baseline.toFixed(1),
    task.aim.toFixed(1),
    (100 * of((run) => run.accuracy)).toFixed(2),
    runs.map((run) => (100 * run.accuracy).toFixed(1)).join(' '),
    (100 * of((run) => run.macroF1)).toFixed(1),
    of((run) => run.calibrationError).toFixed(3),
    of((run) => run.trainSeconds).toFixed(1),
    of((run) => run.peakMb).toFixed(0),
    of((run) => run.fileMb).toFixed(1),
    of((run) => run.p50Ms).toFixed(2),
    of((run) => run.textsPerSecond).toFixed(0),
  ]);
  const outside = runs.flatMap((run) => (run.outOfScope ? [run.outOfScope] : []));
  if (outside.length > 0)
    notes.push(
      `${task.name}: AUROC in/out of scope ${median(outside.map((o) => o.auroc)).toFixed(4)}, out-of-scope recall at ` +
        `90 % acceptance ${(100 * median(outside.map((o) => o.recallAt90Acceptance))).toFixed(1)} %` +
        (task.name === 'clinc150' ? ' (logistic regression: AUROC 0.951; aim 0.955)' : ''),
    );
  const languages = Object.keys(runs[0]?.byLanguage ?? {});
  if (languages.length > 2)
    notes.push(
      `${task.name}: ${languages.map((l) => `${l} ${(100 * of((run) => run.byLanguage[l] ?? 0)).toFixed(1)}`).join(', ')}`,
    );
  process.stderr.write(`${task.name} done\n`);
}
process.stdout.write(`${table([COLUMNS, ...rows])}\n${notes.map((note) => `\n${note}`).join('')}\n`);

function readKept(file: string | undefined): Kept {
  const fresh = { defaults: JSON.stringify(defaults), runs: {} };
  if (file === undefined || !existsSync(file)) return fresh;
  const found = JSON.parse(readFileSync(file, 'utf8')) as Kept;
  return found.defaults === fresh.defaults ? found : fresh;
}

function runOnce(task: string, seed: number): RunResult {
  const known = kept.runs[`${task} ${String(seed)}`];
  if (known) return known;
  const script = fileURLToPath(new URL('./accuracy-run.ts', import.meta.url));
  const child = spawnSync(process.execPath, ['--import', 'tsx', script, task, String(seed)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 2 ** 26,
  });
  if (child.status !== 0) throw new Error(`The run of ${task} with seed ${String(seed)} failed; see above.`);
  const result = JSON.parse(child.stdout) as RunResult;
  kept.runs[`${task} ${String(seed)}`] = result;
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(kept, null, 2));
  return result;
}

function table(lines: readonly (readonly string[])[]): string {
  const widths = COLUMNS.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map((line) =>
      line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
    )
    .join('\n');
}
