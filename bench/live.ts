/** The whole pipeline as it runs: latency from an acknowledged event to its row, and memory of each process. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { componentNames } from '../cli/components.ts';
import { producerOptions } from '../cli/environment.ts';
import { untilCaughtUp } from '../cli/lag.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import { startStack } from '../test/integration/stack.ts';
import type { Stack } from '../test/integration/stack.ts';
import { benchConversation } from './kafka.ts';

const bin = path.join(import.meta.dirname, '..', 'bin', 'samvad.js');

/** Milliseconds from acknowledgement to visible row at `rate` events a second for `seconds`, with one worker process. */
export async function latency(rate: number, seconds: number): Promise<(string | number)[][]> {
  const stack = await startStack();
  const worker = start(stack, ['pipeline']);
  const producer = await createConversationProducer(producerOptions(stack.prepared));
  try {
    await producer.captureConversation({ ...input(0), conversation_id: 'warm-up' });
    await sleep(10_000);
    const acknowledged = new Map<string, number>();
    const measured: number[] = [];
    const polling = poll(stack, acknowledged, measured, rate * seconds);
    const started = performance.now();
    for (let i = 0; i < rate * seconds; i++) {
      const ahead = (i * 1000) / rate - (performance.now() - started);
      if (ahead > 2) await sleep(ahead);
      void producer
        .captureConversation(input(i))
        .then(({ conversation_id }) => acknowledged.set(conversation_id, performance.now()));
    }
    await polling;
    measured.sort((a, b) => a - b);
    const at = (share: number) => Math.round(measured[Math.floor(share * (measured.length - 1))] ?? NaN);
    const head = `ms from acknowledgement to row at ${String(rate)}/s`;
    return [
      [head, 'p50', 'p95', 'p99', 'max'],
      ['', at(0.5), at(0.95), at(0.99), at(1)],
    ];
  } finally {
    await producer.close();
    await stop(worker);
    await stack.stop();
  }
}

/** Looks every 10 ms which of the acknowledged rows are there: the resolution of the measurement. */
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

/** Peak resident memory in MiB of each component, in a process of its own, after `count` conversations. */
export async function memory(count: number): Promise<(string | number)[][]> {
  const stack = await startStack();
  const workers = componentNames.map((name) => [name, start(stack, [name])] as const);
  const producer = await createConversationProducer(producerOptions(stack.prepared));
  try {
    for (let i = 0; i < count; i += 2000) {
      await Promise.all(
        Array.from({ length: Math.min(2000, count - i) }, (_, j) => producer.captureConversation(input(i + j))),
      );
    }
    while (producer.stats().spoolBytes > 0) await sleep(100);
    await untilCaughtUp(stack.prepared.servers, stack.prepared.pool);
    const rows = await Promise.all(workers.map(async ([name, { pid }]) => [name, await peak(pid)]));
    return [
      [`peak MiB after ${count.toLocaleString('en-IN')} conversations`, 'MiB'],
      ...rows,
      ['this producer', await peak(process.pid)],
    ];
  } finally {
    await producer.close();
    await Promise.all(workers.map(([, worker]) => stop(worker)));
    await stack.stop();
  }
}

function input(i: number) {
  return { ...benchConversation(i), created_at: new Date(Date.UTC(2026, 9, 5) + i) };
}

function start(stack: Stack, names: readonly string[]): ChildProcess {
  return spawn(process.execPath, [bin, 'run', ...names], { env: { ...process.env, ...stack.env }, stdio: 'ignore' });
}

async function stop(worker: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  if (worker.exitCode === null && worker.kill('SIGTERM')) await ended;
}

/** VmHWM of proc(5). */
async function peak(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Math.round(Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) / 1024);
}
