/** Adds and removes whole worker processes under load, counts, and measures how long the pipeline stood still. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { producerOptions } from '../../cli/environment.ts';
import { untilCaughtUp } from '../../cli/lag.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { kafkajsClient } from '../../runtime/kafka-clients.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { topics } from '../../topology.ts';
import { startStack } from '../integration/stack.ts';
import type { Stack } from '../integration/stack.ts';

/** A change of the number of workers, and what it cost. */
export interface Rebalance {
  readonly from: number;
  readonly to: number;
  /** Longest time in the seconds after the change in which no decision was written, in milliseconds. */
  readonly pauseMs: number;
  /** The same right before the change. */
  readonly pauseBeforeMs: number;
}

/** What a run showed. */
export interface RebalanceReport {
  readonly events: number;
  readonly rebalances: readonly Rebalance[];
  /** Each broken promise as a sentence. */
  readonly broken: readonly string[];
}

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
const LOOK_MS = 50;

/** Two workers become four become one, with `perSecond` conversations coming all the time; each stage lasts `stageMs`. */
export async function rebalanceRun(perSecond: number, stageMs: number): Promise<RebalanceReport> {
  const stack = await startStack();
  const workers: ChildProcess[] = [];
  const scale = async (to: number) => {
    while (workers.length < to)
      workers.push(
        spawn(process.execPath, [bin, 'run', 'pipeline'], { env: { ...process.env, ...stack.env }, stdio: 'ignore' }),
      );
    const leaving = workers.splice(to);
    for (const worker of leaving) worker.kill('SIGTERM');
    await Promise.all(leaving.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
  };
  const progress = await watchProgress(stack);
  const load = startLoad(stack, perSecond);
  try {
    await scale(2);
    await progress.moves();
    await sleep(stageMs);
    const rebalances: Rebalance[] = [];
    for (const to of [4, 1]) {
      const [from, at] = [workers.length, Date.now()];
      await scale(to);
      await sleep(stageMs);
      rebalances.push({
        from,
        to,
        pauseMs: progress.longestPause(at, Date.now()),
        pauseBeforeMs: progress.longestPause(at - stageMs, at),
      });
    }
    const events = await load.stop();
    await untilCaughtUp(stack.prepared.servers, stack.prepared.pool);
    return { events, rebalances, broken: await brokenPromises(stack, events) };
  } finally {
    await load.stop();
    await progress.stop();
    for (const worker of workers) worker.kill('SIGKILL');
    await stack.stop();
  }
}

/** Notes each moment at which the routing decisions had grown. */
async function watchProgress({ prepared }: Stack) {
  const admin = kafkajsClient(prepared.servers.kafka, 'rebalance-watch').admin();
  await admin.connect();
  const grown: number[] = [];
  const stopping = new AbortController();
  const watching = (async () => {
    for (let last = 0; !stopping.signal.aborted; await sleep(LOOK_MS)) {
      const ends = await admin.fetchTopicOffsets(topics.routingDecisions.name);
      const end = ends.reduce((sum, { high }) => sum + Number(high), 0);
      if (end > last) grown.push(Date.now());
      last = end;
    }
  })();
  return {
    async moves() {
      while (grown.length === 0) await sleep(LOOK_MS);
    },
    longestPause(from: number, to: number): number {
      const marks = [from, ...grown.filter((at) => at > from && at < to), to];
      return Math.max(...marks.slice(1).map((at, i) => at - (marks[i] ?? at)));
    },
    async stop() {
      stopping.abort();
      await watching;
      await admin.disconnect();
    },
  };
}

function startLoad({ prepared }: Stack, perSecond: number) {
  const stopping = new AbortController();
  let sent = 0;
  const sending = (async () => {
    const producer = await createConversationProducer(producerOptions(prepared));
    const began = Date.now();
    while (!stopping.signal.aborted) {
      const due = Math.floor(((Date.now() - began) * perSecond) / 1000);
      const batch: Promise<unknown>[] = [];
      for (; sent < due; sent++) batch.push(producer.captureConversation(conversation(sent)));
      await Promise.all(batch);
      await sleep(20);
    }
    while (producer.stats().spoolBytes > 0) await sleep(100);
    await producer.close();
  })();
  return {
    async stop() {
      stopping.abort();
      await sending;
      return sent;
    },
  };
}

function conversation(i: number) {
  return {
    conversation_id: `rebalance-${String(i)}`,
    user_message: `where is my order number ${String(i)}?`,
    language: 'en',
    nlu_intent: 'track_order',
    nlu_module: 'food',
    nlu_confidence: (i % 101) / 100,
    nlu_provider: 'indicbert' as const,
    created_at: '2026-10-05T09:30:00Z',
  };
}

async function brokenPromises({ prepared }: Stack, events: number): Promise<string[]> {
  const { servers, pool } = prepared;
  const broken: string[] = [];
  for (const topic of [topics.conversationEvents, topics.routingDecisions]) {
    const times = new Map<string, number>();
    for await (const { key } of readTopic(servers.kafka, topic.name))
      times.set(String(key), (times.get(String(key)) ?? 0) + 1);
    const twice = [...times.values()].filter((n) => n > 1).length;
    if (times.size !== events) broken.push(`${topic.name}: ${String(times.size)} of ${String(events)} conversations.`);
    if (twice > 0) broken.push(`${topic.name}: ${String(twice)} conversations more than once.`);
  }
  const { rows } = await pool.query<{ n: string }>('SELECT count(*) AS n FROM conversation_logs');
  if (Number(rows[0]?.n) !== events) broken.push(`conversation_logs: ${String(rows[0]?.n)} of ${String(events)} rows.`);
  return broken;
}
