/**
 * `npm run bench:queue [-- --part tune --seeds N --sets clinc150,hint3 --orders random,confidence]`: 300 answers, spent in
 * different orders of the queue. Accuracy in scope after each hundred, median of the seeds, and each seed's last figure.
 */
import { parseArgs } from 'node:util';
import { experiments } from './queue-data.ts';
import type { Part } from './queue-data.ts';
import { orders } from './queue-orders.ts';
import { playQueue } from './queue-play.ts';
import type { Point } from './queue-play.ts';
import { median } from './median.ts';

const { values } = parseArgs({
  options: {
    part: { type: 'string', default: 'report' },
    seeds: { type: 'string', default: '3' },
    sets: { type: 'string', default: Object.keys(experiments).join(',') },
    orders: { type: 'string', default: Object.keys(orders).join(',') },
  },
});
const first = values.part === 'tune' ? 1 : 101;
const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => first + i);
for (const set of values.sets.split(',')) {
  for (const order of values.orders.split(',')) {
    const curves: (readonly Point[])[] = [];
    for (const seed of seeds) {
      const traffic = experiments[set]?.(seed, values.part as Part);
      const rank = orders[order];
      if (!traffic || !rank) throw new Error(`There is no set ${set} or no order ${order}.`);
      curves.push(await playQueue(traffic, rank, seed));
    }
    const points = curves[0]?.map(({ answers }) => answers) ?? [];
    const cells = points.map((_, i) => percent(median(curves.map((curve) => curve[i]?.accuracy ?? NaN))));
    const f1 = percent(median(curves.map((curve) => curve.at(-1)?.macroF1 ?? NaN)));
    const runs = curves.map((curve) => percent(curve.at(-1)?.accuracy ?? NaN)).join(' ');
    process.stdout.write(
      `${set.padEnd(16)} ${order.padEnd(22)} ${points.map((n, i) => `${n}: ${cells[i] ?? ''}`).join('  ')}  macro-F1 ${f1}  (${runs})\n`,
    );
  }
}

function percent(share: number): string {
  return (100 * share).toFixed(1);
}
