/**
 * `npm run bench:audit [-- RUNS]`: simulated months with known truth. Prints how often the 95 % interval of the corrected
 * accuracy contains the truth, how wide it is, and the mean errors of the corrected and the naive figure.
 */
import { productionAccuracy } from '../policy/audit.ts';
import { random } from '../trainer/learning/random.ts';
import { months, simulate } from './audit-month.ts';
import type { Month } from './audit-month.ts';

const runs = Number(process.argv[2] ?? 100);
const COLUMNS = [
  'month',
  'truth',
  'covered',
  'half width',
  'corrected error',
  'naive',
  'naive error',
  'answers',
  'missing',
];

const rows = months.map((month) => row(month));
const widths = COLUMNS.map((column, i) => Math.max(column.length, ...rows.map((cells) => cells[i]?.length ?? 0)));
for (const cells of [COLUMNS, ...rows])
  process.stdout.write(
    `${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')}\n`,
  );

function row(month: Month): readonly string[] {
  const results = Array.from({ length: runs }, (_, seed) => {
    const { cells, truth } = simulate(month, random(seed + 1));
    return { truth, ...productionAccuracy(cells) };
  });
  const mean = (value: (result: (typeof results)[number]) => number) =>
    results.reduce((total, result) => total + value(result), 0) / runs;
  const points = (share: number) => (100 * share).toFixed(1);
  return [
    month.name,
    points(mean(({ truth }) => truth)),
    `${results.filter(({ truth, interval: [low, high] }) => low <= truth && truth <= high).length} of ${runs}`,
    points(mean(({ interval: [low, high] }) => (high - low) / 2)),
    points(mean(({ truth, corrected }) => Math.abs((corrected ?? 0) - truth))),
    points(mean(({ naive }) => naive ?? 0)),
    points(mean(({ truth, naive }) => Math.abs((naive ?? 0) - truth))),
    mean(({ answers }) => answers).toFixed(0),
    mean(({ missing }) => missing).toFixed(0),
  ];
}
