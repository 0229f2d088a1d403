/**
 * `npm run bench`: rates on its own broker and database, latency at 500 events per second, and memory.
 *
 * Each rate is measured once in each of three rounds, together with the rates that it is compared with. The table shows the
 * medians of the rates, and of the ratios within a round. A short round before them warms up broker, database and JIT compilers.
 * `npm run bench -- --events 100000 --rounds 1 --memory-events 0` is a short run; `--only router,rebuild` runs single parts with
 * the rates that they are compared with.
 */
import { parseArgs } from 'node:util';
import type { Prepared } from '../app/environment.ts';
import { columns } from '../app/terminal.ts';
import { startStack } from '../test/integration/stack.ts';
import { fillLog, LIBRDKAFKA_QUEUE, rawConsume, rawTransactions, routerRate, streamsRate } from './kafka.ts';
import { latency, memory } from './live.ts';
import { median } from './median.ts';
import { projectionRate, rawCopy, rebuildRate } from './postgres.ts';
import { emptyDecisions } from './reset.ts';

const RATES = ['transactions', 'router', 'streams', 'projection', 'rebuild'] as const;
const RAW = 'raw consume';
const RAW_DEFAULT = "raw consume, librdkafka's own queue";
const PARTS = [...RATES, 'latency', 'memory'] as const;
type Part = (typeof PARTS)[number];

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '500000' },
    rounds: { type: 'string', default: '3' },
    'memory-events': { type: 'string', default: '2000000' },
    only: { type: 'string', default: PARTS.join(',') },
  },
});
const [events, rounds, memoryEvents] = [Number(values.events), Number(values.rounds), Number(values['memory-events'])];
const WARM_UP_EVENTS = Math.min(events, 100_000);
const chosen = new Set(values.only.split(',').map(part));
const say = (line: string) => process.stderr.write(`${line}\n`);

if (RATES.some((name) => chosen.has(name))) process.stdout.write(`${columns(await rates())}\n`);
if (chosen.has('latency')) process.stdout.write(`${columns(await latency(500, 30, rounds))}\n`);
if (chosen.has('memory') && memoryEvents > 0) process.stdout.write(`${columns(await memory(memoryEvents))}\n`);
process.exit(0); // native clients may keep the loop alive after they were closed

/** A measured rate per second, and the lines that it is compared with. */
interface Line {
  readonly what: string;
  readonly rate: number;
  readonly of: readonly string[];
}

/** The medians of all rounds. */
async function rates(): Promise<(string | number)[][]> {
  const stack = await startStack();
  const measured: (readonly Line[])[] = [];
  try {
    say(`Warming up with ${String(WARM_UP_EVENTS)} conversations.`);
    await fillLog(stack.prepared, 0, WARM_UP_EVENTS);
    await round(stack.prepared, WARM_UP_EVENTS);
    await fillLog(stack.prepared, WARM_UP_EVENTS, events);
    for (let i = 1; i <= rounds; i++) {
      say(`Round ${String(i)} of ${String(rounds)}, ${String(events)} conversations.`);
      measured.push(await round(stack.prepared, events));
    }
  } finally {
    await stack.stop();
  }
  const rateOf = (lines: readonly Line[], what: string) => lines.find((line) => line.what === what)?.rate ?? NaN;
  const rows = (measured[0] ?? []).flatMap(({ what, of }) => {
    const [first = '', ...others] = of;
    const ratio = (other: string) =>
      other === '' ? '' : ratios(measured.map((lines) => rateOf(lines, what) / rateOf(lines, other)));
    const rate = Math.round(median(measured.map((lines) => rateOf(lines, what))));
    return [[what, rate, first, ratio(first)], ...others.map((other) => ['', '', other, ratio(other)])];
  });
  return [['what', 'a second', 'of', `ratio (of each round)`], ...rows];
}

/** Measures each chosen rate and those that it is compared with. The projection reads what the router wrote. */
async function round(prepared: Prepared, count: number): Promise<Line[]> {
  const lines: Line[] = [];
  const line = (what: string, rate: number, ...of: string[]) => {
    lines.push({ what, rate, of });
    say(`  ${what} ${String(Math.round(rate))}`);
  };
  await emptyDecisions(prepared);
  line(RAW, await rawConsume(prepared, count));
  line(RAW_DEFAULT, await rawConsume(prepared, count, LIBRDKAFKA_QUEUE));
  if (chosen.has('transactions')) line('raw transactional produce', await rawTransactions(prepared, count), RAW);
  line('router, exactly once', await routerRate(prepared, count), RAW, RAW_DEFAULT);
  if (chosen.has('streams')) line('Kafka Streams peer', await streamsRate(prepared, count), 'router, exactly once');
  if (chosen.has('projection') || chosen.has('rebuild')) {
    const projection = await projectionRate(prepared, count);
    const rebuild = chosen.has('rebuild') ? await rebuildRate(prepared) : undefined;
    line('raw COPY', await rawCopy(prepared, count));
    line('projection, catching up', projection, 'raw COPY');
    if (rebuild !== undefined) line('rebuild', rebuild, 'raw COPY');
  }
  return lines;
}

function ratios(numbers: readonly number[]): string {
  return `${median(numbers).toFixed(2)} (${numbers.map((one) => one.toFixed(2)).join(', ')})`;
}

function part(name: string): Part {
  const found = PARTS.find((known) => known === name);
  if (!found) throw new Error(`There is no part ${name}. There are: ${PARTS.join(', ')}.`);
  return found;
}
