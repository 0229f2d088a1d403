/** Adds and removes whole worker processes under load, counts, and measures how long the pipeline stood still. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AssignerProtocol } from 'kafkajs';
import { producerOptions } from '../../app/environment.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { processors, projections } from '../../pipeline.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { kafkajsClient } from '../../runtime/kafka-clients.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { startStack } from '../integration/stack.ts';
import type { Stack } from '../integration/stack.ts';

/** A change of the number of workers, as their groups show it, and what it cost. */
export interface Rebalance {
  /** Members with partitions. */
  readonly from: number;
  readonly to: number;
  /** Longest time in the seconds after the change in which no decision was written, in milliseconds. */
  readonly pauseMs: number;
  /** The same right before the change. */
  readonly pauseBeforeMs: number;
}

/** The result of a run. */
export interface RebalanceReport {
  readonly events: number;
  readonly rebalances: readonly Rebalance[];
  /** Each broken promise as a sentence. */
  readonly broken: readonly string[];
}

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
const LOOK_MS = 50;
/** For worker processes to start on a busy machine and join some twenty groups. */
const SETTLE_MS = 240_000;

/**
 * Goes from two workers to four and then to one, with `perSecond` conversations all the time. Each stage lasts `stageMs` after its
 * groups are balanced.
 */
export async function rebalanceRun(perSecond: number, stageMs: number): Promise<RebalanceReport> {
  const stack = await startStack();
  const workers: ChildProcess[] = [];
  const broken: string[] = [];
  const start = () => {
    const env = { ...process.env, ...stack.env };
    const worker = spawn(process.execPath, [bin, 'run', 'pipeline'], { env, stdio: 'ignore' });
    worker.once('exit', (code, signal) => {
      if (workers.includes(worker)) broken.push(`A worker ended by itself, with ${signal ?? `code ${String(code)}`}.`);
    });
    workers.push(worker);
  };
  const leave = async (worker: ChildProcess) => {
    const ended = once(worker, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    if (!worker.kill('SIGTERM')) return; // it has ended by itself, which is recorded
    const [code, signal] = await ended;
    if (code !== 0) broken.push(`A worker that was told to leave ended with ${signal ?? `code ${String(code)}`}.`);
  };
  const scale = async (to: number) => {
    while (workers.length < to) start();
    await Promise.all(workers.splice(to).map(leave));
    return untilShared(stack, to);
  };
  const progress = await watchProgress(stack);
  const load = startLoad(stack, perSecond);
  try {
    let from = await scale(2);
    await progress.moves();
    await sleep(stageMs);
    const rebalances: Rebalance[] = [];
    for (const wanted of [4, 1]) {
      const at = Date.now();
      const to = await scale(wanted);
      await sleep(stageMs);
      rebalances.push({
        from,
        to,
        pauseMs: progress.longestPause(at, Date.now()),
        pauseBeforeMs: progress.longestPause(at - stageMs, at),
      });
      from = to;
    }
    const events = await load.stop();
    await untilCaughtUp(stack.prepared.servers, stack.prepared.pool);
    return { events, rebalances, broken: [...broken, ...(await brokenPromises(stack, events))] };
  } finally {
    await load.stop();
    await progress.stop();
    for (const worker of workers.splice(0)) worker.kill('SIGKILL');
    await stack.stop();
  }
}

/**
 * Waits until each group has `count` members, as many of them with partitions as possible. Returns the largest number of members
 * with partitions in any group.
 * @throws Error with the groups that are not balanced in time.
 */
async function untilShared({ prepared }: Stack, count: number): Promise<number> {
  const admin = kafkajsClient(prepared.servers.kafka, 'rebalance-groups').admin();
  await admin.connect();
  try {
    const partitionsOf = new Map([
      ...processors.map(({ name }) => [name, PARTITIONS] as const),
      ...projections.map(({ name, topic }) => [name, topic.partitions ?? PARTITIONS] as const),
    ]);
    for (const deadline = Date.now() + SETTLE_MS; ; await sleep(LOOK_MS * 4)) {
      const { groups } = await admin.describeGroups([...partitionsOf.keys()]);
      const shares = groups.map(({ groupId, state, members }) => {
        const working = members.filter(({ memberAssignment }) => partitionsIn(memberAssignment) > 0).length;
        const due = Math.min(count, partitionsOf.get(groupId) ?? 0);
        const shared = state === 'Stable' && members.length === count && working === due;
        return { working, shared, seen: `${groupId} (${state}, ${String(working)} of ${String(members.length)})` };
      });
      if (shares.every(({ shared }) => shared)) return Math.max(...shares.map(({ working }) => working));
      const others = shares.filter(({ shared }) => !shared).map(({ seen }) => seen);
      if (Date.now() > deadline)
        throw new Error(`These groups are not shared by ${String(count)} members: ${others.join(', ')}.`);
    }
  } finally {
    await admin.disconnect();
  }
}

function partitionsIn(assignment: Buffer): number {
  const { assignment: byTopic = {} } =
    (assignment.length > 0 && AssignerProtocol.MemberAssignment.decode(assignment)) || {};
  return Object.values(byTopic).reduce((sum, partitions) => sum + partitions.length, 0);
}

/** Records each time at which the routing decisions have grown. */
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
