/**
 * `npm run bench:accuracy [-- task…]`: accuracy of the trainer's defaults on public data, compared with a linear SVM on TF-IDF.
 * All numbers are measured on the ONNX file that would be served. The table shows the median over the seeds, three by default
 * (`--seeds=N`). Each run is a child process, so that its memory can be measured; `--jobs=N` of them run at once. `--json=FILE`
 * stores the numbers of each run; runs that FILE already has for the same defaults are not repeated.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { defaults } from '../trainer/learning/train.ts';
import type { RunResult } from './accuracy-run.ts';
import { dataFolder, tasks } from './accuracy-tasks.ts';
import { runJobs } from './jobs.ts';
import { median } from './median.ts';

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

/** The content of FILE: runs by task and seed, all with the same `defaults`. */
interface Kept {
  readonly defaults: string;
  readonly runs: Record<string, RunResult>;
}

dataFolder();
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    seeds: { type: 'string', default: '3' },
    jobs: { type: 'string', default: '1' },
  },
});
const chosen = tasks.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => String(i + 1));
const kept = readKept(values.json);
await runMissing();

const rows: (readonly string[])[] = [];
const notes: string[] = [];
for (const task of chosen) {
  const runs = seeds.flatMap((seed) => kept.runs[`${task.name} ${seed}`] ?? []);
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
}
process.stdout.write(`${table([COLUMNS, ...rows])}\n${notes.map((note) => `\n${note}`).join('')}\n`);

function readKept(file: string | undefined): Kept {
  const fresh = { defaults: JSON.stringify(defaults), runs: {} };
  if (file === undefined || !existsSync(file)) return fresh;
  const found = JSON.parse(readFileSync(file, 'utf8')) as Kept;
  return found.defaults === fresh.defaults ? found : fresh;
}

/** Makes the runs that FILE does not have yet, and stores them. */
async function runMissing(): Promise<void> {
  const missing = chosen
    .flatMap(({ name }) => seeds.map((seed) => [name, seed]))
    .filter((run) => kept.runs[run.join(' ')] === undefined);
  await runJobs<RunResult>('accuracy-run.ts', missing, Number(values.jobs), (result, run) => {
    kept.runs[run.join(' ')] = result;
    if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(kept, null, 2));
    process.stderr.write(`${run.join(' ')} done\n`);
  });
}

function table(lines: readonly (readonly string[])[]): string {
  const widths = COLUMNS.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map((line) =>
      line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
    )
    .join('\n');
}
