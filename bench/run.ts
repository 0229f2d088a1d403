/**
 * `npm run bench`: rates on one broker and one database of its own, latency at 500 events a second, and peak memory.
 * `npm run bench -- --events 100000 --memory-events 0` is a short run.
 */
import { parseArgs } from 'node:util';
import { columns } from '../cli/terminal.ts';
import { startStack } from '../test/integration/stack.ts';
import { fillLog, rawConsume, rawTransactions, routerRate, streamsRate } from './kafka.ts';
import { latency, memory } from './live.ts';
import { projectionRate, rawCopy, rebuildRate } from './postgres.ts';

const { values } = parseArgs({
  options: { events: { type: 'string', default: '500000' }, 'memory-events': { type: 'string', default: '2000000' } },
});
const [events, memoryEvents] = [Number(values.events), Number(values['memory-events'])];
const thousands = (rate: number) => Math.round(rate);
const say = (line: string) => process.stderr.write(`${line}\n`);

{
  const stack = await startStack();
  try {
    say(`Filling the log with ${String(events)} conversations.`);
    await fillLog(stack.prepared, events);
    say('Consuming, producing, routing.');
    const consume = await rawConsume(stack.prepared, events);
    const transactions = await rawTransactions(stack.prepared, events);
    const router = await routerRate(stack.prepared, events);
    say('Kafka Streams.');
    const streams = await streamsRate(stack.prepared, events);
    say('Postgres.');
    const projection = await projectionRate(stack.prepared, events);
    const rebuild = await rebuildRate(stack.prepared);
    const copy = await rawCopy(stack.prepared, events);
    process.stdout.write(
      `${columns([
        ['what', 'a second', 'of', 'ratio'],
        ['raw consume', thousands(consume), '', ''],
        ['raw transactional produce', thousands(transactions), 'raw consume', (transactions / consume).toFixed(2)],
        ['router, exactly once', thousands(router), 'raw consume', (router / consume).toFixed(2)],
        ['Kafka Streams peer', thousands(streams), 'router', (streams / router).toFixed(2)],
        ['raw COPY', thousands(copy), '', ''],
        ['projection, catching up', thousands(projection), 'raw COPY', (projection / copy).toFixed(2)],
        ['rebuild', thousands(rebuild), 'raw COPY', (rebuild / copy).toFixed(2)],
      ])}\n`,
    );
  } finally {
    await stack.stop();
  }
}
process.stdout.write(`${columns(await latency(500, 30))}\n`);
if (memoryEvents > 0) process.stdout.write(`${columns(await memory(memoryEvents))}\n`);
process.exit(0); // native clients may keep the loop alive after they were closed
