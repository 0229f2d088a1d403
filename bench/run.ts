/**
 * `npm run bench`: rates on one broker and one database of its own, latency at 500 events a second, and peak memory.
 * `npm run bench -- --events 100000 --memory-events 0` is a short run, `--only router,rebuild` runs single parts and
 * what they are compared with.
 */
import { parseArgs } from 'node:util';
import { columns } from '../cli/terminal.ts';
import { startStack } from '../test/integration/stack.ts';
import { fillLog, rawConsume, rawTransactions, routerRate, streamsRate } from './kafka.ts';
import { latency, memory } from './live.ts';
import { projectionRate, rawCopy, rebuildRate } from './postgres.ts';

const PARTS = ['transactions', 'router', 'streams', 'projection', 'rebuild', 'latency', 'memory'] as const;
type Part = (typeof PARTS)[number];

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '500000' },
    'memory-events': { type: 'string', default: '2000000' },
    only: { type: 'string', default: PARTS.join(',') },
  },
});
const [events, memoryEvents] = [Number(values.events), Number(values['memory-events'])];
const chosen = new Set(values.only.split(',').map(part));
const say = (line: string) => process.stderr.write(`${line}\n`);

if (['transactions', 'router', 'streams', 'projection', 'rebuild'].some((name) => chosen.has(name as Part)))
  process.stdout.write(`${columns(await rates())}\n`);
if (chosen.has('latency')) process.stdout.write(`${columns(await latency(500, 30))}\n`);
if (chosen.has('memory') && memoryEvents > 0) process.stdout.write(`${columns(await memory(memoryEvents))}\n`);
process.exit(0); // native clients may keep the loop alive after they were closed

/** Rates, each beside what it is compared with. Postgres is fed by what the router wrote. */
async function rates(): Promise<(string | number)[][]> {
  const stack = await startStack();
  const { prepared } = stack;
  const rows: (string | number)[][] = [['what', 'a second', 'of', 'ratio']];
  const row = (what: string, rate: number, of?: readonly [string, number]) =>
    rows.push([what, Math.round(rate), of?.[0] ?? '', of ? (rate / of[1]).toFixed(2) : '']);
  try {
    say(`Filling the log with ${String(events)} conversations.`);
    await fillLog(prepared, events);
    say('Consuming, producing, routing.');
    const consume = await rawConsume(prepared, events);
    row('raw consume', consume);
    if (chosen.has('transactions'))
      row('raw transactional produce', await rawTransactions(prepared, events), ['raw consume', consume]);
    const router = await routerRate(prepared, events);
    row('router, exactly once', router, ['raw consume', consume]);
    if (chosen.has('streams')) {
      say('Kafka Streams.');
      row('Kafka Streams peer', await streamsRate(prepared, events), ['router', router]);
    }
    if (chosen.has('projection') || chosen.has('rebuild')) {
      say('Postgres.');
      const projection = await projectionRate(prepared, events);
      const rebuild = chosen.has('rebuild') ? await rebuildRate(prepared) : undefined;
      const copy = await rawCopy(prepared, events);
      row('raw COPY', copy);
      row('projection, catching up', projection, ['raw COPY', copy]);
      if (rebuild !== undefined) row('rebuild', rebuild, ['raw COPY', copy]);
    }
    return rows;
  } finally {
    await stack.stop();
  }
}

function part(name: string): Part {
  const found = PARTS.find((known) => known === name);
  if (!found) throw new Error(`There is no part ${name}. There are: ${PARTS.join(', ')}.`);
  return found;
}
