/** One run of one task with one seed, in its own process: `accuracy-run.ts TASK SEED` prints a RunResult as JSON. */
import { defaultPolicy } from '../policy/routing.ts';
import { evaluate, judge, measureLatency } from '../trainer/learning/evaluate.ts';
import type { Judged } from '../trainer/learning/evaluate.ts';
import type { Evaluation } from '../trainer/learning/evaluate.ts';
import { loadModel } from '../trainer/learning/model.ts';
import { makeModelFile } from '../trainer/learning/model-file.ts';
import { train } from '../trainer/learning/train.ts';
import { tasks } from './accuracy-tasks.ts';

/** The measurements of one run. Times and sizes are the largest of all parts, `textsPerSecond` is the smallest. */
export interface RunResult {
  readonly trainRows: number;
  readonly testRows: number;
  readonly accuracy: number;
  readonly macroF1: number;
  readonly calibrationError: number;
  readonly outOfScope: Evaluation['outOfScope'];
  readonly byLanguage: Readonly<Record<string, number>>;
  /** CPU time of all threads, so that other work on the machine hardly affects it. */
  readonly trainSeconds: number;
  readonly peakMb: number;
  readonly fileMb: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly textsPerSecond: number;
  readonly autoApprovalRate: number;
  readonly autoApprovedAccuracy: number | null;
}

const [name = '', seedText = '1'] = process.argv.slice(2);
const task = tasks.find((one) => one.name === name);
if (!task) throw new Error(`There is no task ${name}; the tasks are ${tasks.map((one) => one.name).join(', ')}.`);
const seed = Number(seedText);
const judged: Judged[] = [];
let [trainSeconds, peakMb, fileMb, p50Ms, p99Ms, trainRows, textsPerSecond] = [0, 0, 0, 0, 0, 0, Infinity];
for (const part of task.parts(seed)) {
  const before = process.cpuUsage();
  const outcome = await train({ train: part.train, dev: part.dev, options: { seed } });
  const { user, system } = process.cpuUsage(before);
  trainSeconds = Math.max(trainSeconds, (user + system) / 1e6);
  peakMb = Math.max(peakMb, process.resourceUsage().maxRSS / 1024);
  trainRows = Math.max(trainRows, outcome.rows.train);
  const bytes = await makeModelFile(outcome, { manifest: null, parent: null }, part.test); // checks that the file answers like the trainer
  fileMb = Math.max(fileMb, bytes.length / 1e6);
  const model = await loadModel(bytes);
  const texts = part.test.map((row) => row.text);
  const latency = await measureLatency(model, texts.slice(0, 500));
  [p50Ms, p99Ms] = [Math.max(p50Ms, latency.p50), Math.max(p99Ms, latency.p99)];
  const batched = performance.now();
  judged.push(...(await judge(model, part.test)));
  textsPerSecond = Math.min(textsPerSecond, (1000 * texts.length) / (performance.now() - batched));
  await model.close();
}
const {
  accuracy,
  macroF1,
  calibrationError,
  outOfScope,
  byLanguage,
  rows,
  outOfScopeRows,
  autoApprovalRate,
  autoApprovedAccuracy,
} = evaluate(judged, defaultPolicy);
const result: RunResult = {
  trainRows,
  testRows: rows - outOfScopeRows,
  accuracy,
  macroF1,
  calibrationError,
  outOfScope,
  byLanguage: Object.fromEntries(Object.entries(byLanguage).map(([language, slice]) => [language, slice.accuracy])),
  trainSeconds,
  peakMb,
  fileMb,
  p50Ms,
  p99Ms,
  textsPerSecond,
  autoApprovalRate,
  autoApprovedAccuracy,
};
process.stdout.write(JSON.stringify(result));
