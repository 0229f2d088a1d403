/** Measures the whole pipeline in operation: latency from an acknowledged event to its row, and memory of each process. */
import { setTimeout as sleep } from 'node:timers/promises';
import { componentNames } from '../app/components.ts';
import { producerOptions } from '../app/environment.ts';
import { untilCaughtUp } from '../app/lag.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import type { ConversationProducer } from '../producers/conversation-producer.ts';
import { startStack } from '../test/integration/stack.ts';
import type { Stack } from '../test/integration/stack.ts';
import { trainer } from '../trainer/trainer.ts';
import { benchConversation } from './kafka.ts';
import { mib, startProcess, stopProcess, watch, watchChildren } from './processes.ts';

const WARM_UP_SECONDS = 10;

/**
 * Milliseconds from acknowledgement to visible row at `rate` events a second, with one worker process: `rounds` times
 * `seconds`, after a warm-up.
 */
export async function latency(rate: number, seconds: number, rounds: number): Promise<(string | number)[][]> {
  const stack = await startStack();
  const worker = startProcess(stack, ['pipeline']);
  const producer = await createConversationProducer(producerOptions(stack.prepared));
  try {
    await producer.captureConversation({ ...input(0), conversation_id: 'warm-up' });
    await untilCaughtUp(stack.prepared.servers, stack.prepared.pool);
    let next = 0;
    const measure = async (duration: number) => {
      const from = next;
      next += rate * duration;
      return percentiles(await delays(stack, producer, { rate, from, to: next }));
    };
    await measure(WARM_UP_SECONDS);
    const head = `ms from acknowledgement to row at ${String(rate)}/s`;
    const rows: (string | number)[][] = [[head, 'p50', 'p95', 'p99', 'max']];
    for (let i = 1; i <= rounds; i++)
      rows.push([`round ${String(i)}, ${String(seconds)} s`, ...(await measure(seconds))]);
    return rows;
  } finally {
    await producer.close();
    await stopProcess(worker);
    await stack.stop();
  }
}

interface Traffic {
  readonly rate: number;
  readonly from: number;
  readonly to: number;
}

/** Sends the conversations `from` to `to` − 1 at an even pace. Returns their latencies in milliseconds. */
async function delays(
  stack: Stack,
  producer: ConversationProducer,
  { rate, from, to }: Traffic,
): Promise<readonly number[]> {
  const acknowledged = new Map<string, number>();
  const measured: number[] = [];
  const polling = poll(stack, acknowledged, measured, to - from);
  const started = performance.now();
  for (let i = from; i < to; i++) {
    const ahead = ((i - from) * 1000) / rate - (performance.now() - started);
    if (ahead > 2) await sleep(ahead);
    void producer
      .captureConversation(input(i))
      .then(({ conversation_id }) => acknowledged.set(conversation_id, performance.now()));
  }
  await polling;
  return measured;
}

function percentiles(measured: readonly number[]): readonly number[] {
  const sorted = [...measured].sort((a, b) => a - b);
  return [0.5, 0.95, 0.99, 1].map((share) => Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? NaN));
}

/** Checks every 10 ms which acknowledged conversations have a row. The interval is the resolution of the measurement. */
async function poll(stack: Stack, acknowledged: Map<string, number>, measured: number[], count: number): Promise<void> {
  while (measured.length < count) {
    const waiting = [...acknowledged.keys()];
    const { rows } = await stack.prepared.pool.query<{ id: string }>(
      'SELECT conversation_id AS id FROM conversation_logs WHERE conversation_id = ANY($1)',
      [waiting],
    );
    const now = performance.now();
    for (const { id } of rows) {
      measured.push(now - (acknowledged.get(id) ?? now));
      acknowledged.delete(id);
    }
    await sleep(10);
  }
}

/**
 * Peak resident memory in MiB of each component, in its own process, after `count` conversations: anonymous memory, and pages
 * of mapped files. The kernel can reclaim the latter when memory is short (LMDB maps its whole table, and code is mapped too).
 */
export async function memory(count: number): Promise<(string | number)[][]> {
  const stack = await startStack();
  const workers = componentNames.map((name) => [name, startProcess(stack, [name])] as const);
  const producer = await createConversationProducer(producerOptions(stack.prepared));
  const watches = [
    ...workers.map(([name, { pid }]) => watch(name, pid)),
    ...workers.filter(([name]) => name === trainer.name).map(([, { pid }]) => watchChildren('training', pid)),
    watch('this producer', process.pid),
  ];
  try {
    for (let i = 0; i < count; i += 2000) {
      await Promise.all(
        Array.from({ length: Math.min(2000, count - i) }, (_, j) => producer.captureConversation(input(i + j))),
      );
    }
    while (producer.stats().spoolBytes > 0) await sleep(100);
    await untilCaughtUp(stack.prepared.servers, stack.prepared.pool);
    const rows = watches.map(({ name, peak }) => [name, mib(peak.own), mib(peak.mapped)]);
    return [[`peak MiB after ${count.toLocaleString('en-IN')} conversations`, 'its own', 'mapped files'], ...rows];
  } finally {
    for (const { end } of watches) end();
    await producer.close();
    await Promise.all(workers.map(([, worker]) => stopProcess(worker)));
    await stack.stop();
  }
}

function input(i: number) {
  return { ...benchConversation(i), created_at: new Date(Date.UTC(2026, 9, 5) + i) };
}
