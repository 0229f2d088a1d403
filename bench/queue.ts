/**
 * `npm run bench:queue [-- --part tune --seeds N --jobs N --sets clinc150,hint3 --orders random,confidence --against random]`:
 * 300 answers, given in different orders of the queue. The table shows the accuracy in scope after each hundred answers, as a mean
 * over the seeds. It also shows the mean of the differences, seed by seed, to the order of `--against` (`confidence` by default),
 * with the standard error: after the last hundred, and as an average over the three. `--jobs` simulations run at once.
 *
 * Each order has two rows. In the first, an answer labels one message. In the second, `… in groups`, it also labels the messages
 * that the inbox answers with it, and the row is compared with the other order in groups. `labelled` counts the labelled messages.
 */
import { parseArgs } from 'node:util';
import { columns } from '../app/terminal.ts';
import { runJobs } from './jobs.ts';
import { experiments } from './queue-data.ts';
import { orders } from './queue-orders.ts';
import type { Point } from './queue-play.ts';

const { values } = parseArgs({
  options: {
    part: { type: 'string', default: 'report' },
    seeds: { type: 'string', default: '3' },
    jobs: { type: 'string', default: '1' },
    sets: { type: 'string', default: Object.keys(experiments).join(',') },
    orders: { type: 'string', default: Object.keys(orders).join(',') },
    against: { type: 'string', default: 'confidence' },
  },
});
const first = values.part === 'tune' ? 1 : 101;
const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => String(first + i));
const chosen = values.orders.split(',');

for (const set of values.sets.split(',')) {
  const plays = chosen.flatMap((order) =>
    ['alone', 'groups'].flatMap((along) => seeds.map((seed) => [set, order, seed, values.part, along])),
  );
  const curves = await runJobs<readonly Point[]>('queue-run.ts', plays, Number(values.jobs));
  const of = (order: string, along: string) =>
    curves.filter((_, i) => plays[i]?.[1] === order && plays[i].at(-1) === along);
  const hundreds = curves[0]?.map(({ answers }) => String(answers)) ?? [];
  const rowOf = (order: string, along: string) => {
    const own = of(order, along);
    const means = hundreds.map((_, i) => percent(mean(own.map((curve) => curve[i]?.accuracy ?? NaN))));
    const f1 = percent(mean(own.map((curve) => curve.at(-1)?.macroF1 ?? NaN)));
    const labelled = mean(own.map((curve) => curve.at(-1)?.labelled ?? NaN)).toFixed(0);
    const against = of(values.against, along);
    const name = along === 'groups' ? `${order} in groups` : order;
    return [name, ...means, f1, labelled, ...[last, average].map((pick) => better(own.map(pick), against.map(pick)))];
  };
  const rows = chosen.flatMap((order) => [rowOf(order, 'alone'), rowOf(order, 'groups')]);
  const head = [set, ...hundreds, 'macro-F1', 'labelled', `last − ${values.against}`, `average − ${values.against}`];
  process.stdout.write(`${columns([head, ...rows])}\n\n`);
}

function last(curve: readonly Point[]): number {
  return curve.at(-1)?.accuracy ?? NaN;
}

/** The mean accuracy over the points with answers. */
function average(curve: readonly Point[]): number {
  return mean(curve.slice(1).map(({ accuracy }) => accuracy));
}

/** The mean of the differences, seed by seed, with its standard error. */
function better(one: readonly number[], other: readonly number[]): string {
  const differences = one.map((value, i) => value - (other[i] ?? NaN));
  const middle = mean(differences);
  const variance = differences.reduce((sum, d) => sum + (d - middle) ** 2, 0) / (differences.length - 1);
  return `${percent(middle)} ± ${percent(Math.sqrt(variance / differences.length))}`;
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

function percent(share: number): string {
  return (100 * share).toFixed(1);
}
