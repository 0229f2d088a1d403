/** Runs the scenario of a guard on the complete program, or on one without it, and tells which promises were broken. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decide, defaultPolicy } from '../../policy/routing.ts';
import { confidenceRouter } from '../../processors/confidence-router.ts';
import { librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { call, connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import type { ReviewItem, RoutingDecision } from '../../schemas/types.ts';
import { reviewQueue } from '../../sinks/review-queue.ts';
import { partitionOf } from '../../stream/partition.ts';
import type { Topic } from '../../stream/topic.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { conversation, review } from '../fixtures.ts';
import type { Stack } from '../integration/stack.ts';
import { copyProgram } from './copies.ts';
import type { Guard, Scenario } from './guards.ts';
import { GO_ON, REACHED } from './hold.ts';

const RECORDS = 60;
const LIMIT_MS = 150_000;

/** One run of a scenario. */
interface Run {
  readonly stack: Stack;
  /** The program that the workers run. */
  readonly program: string;
  /** Whether it is the program without the guard. */
  readonly removed: boolean;
  /** What both workers keep on disk: they are of one host. */
  readonly home: string;
  readonly ids: readonly string[];
  readonly workers: ChildProcess[];
}

/** Returns each broken promise as a sentence; `removed` runs the program without the guard. */
export async function runGuard(stack: Stack, guard: Guard, removed: boolean): Promise<readonly string[]> {
  const name = `${guard.name.replaceAll(' ', '-')}-${removed ? 'removed' : 'complete'}`;
  const program = path.join(stack.home, name, 'program');
  const home = path.join(stack.home, name, 'home');
  await mkdir(home, { recursive: true });
  await copyProgram(program, [...guard.hold, ...(removed ? guard.removal : [])]);
  const run: Run = {
    stack,
    program,
    removed,
    home,
    ids: Array.from({ length: RECORDS }, (_, i) => `${name}/${String(i)}`),
    workers: [],
  };
  try {
    return await scenarios[guard.scenario](run);
  } finally {
    for (const worker of run.workers) await end(worker);
  }
}

const scenarios: Readonly<Record<Scenario, (run: Run) => Promise<readonly string[]>>> = {
  /** The first worker is held in a batch; a second one asks for its share of the partitions meanwhile. */
  async 'another worker joins'(run) {
    await startHeld(run, confidenceRouter.name, () => sendCaptured(run));
    startWorker(run, confidenceRouter.name);
    // With the guard nothing may come before the first worker goes on; without it the second one does the work.
    await until(async () => (await decisionsOf(run)).length > 0, run.removed ? LIMIT_MS : 5000);
    await goOn(run);
    return decidedOnce(run);
  },

  /** The first worker dies right after a commit; a second one goes on. */
  async killed(run) {
    const first = await startHeld(run, confidenceRouter.name, () => sendCaptured(run));
    first.kill('SIGKILL');
    startWorker(run, confidenceRouter.name);
    return decidedOnce(run);
  },

  /** The first worker is paused with rows in its hands; the second one writes them, and deletes them again. */
  async 'paused, rows'(run) {
    const first = await startHeld(run, reviewQueue.name, () => sendQueue(run, true));
    first.kill('SIGSTOP');
    startWorker(run, reviewQueue.name);
    await demand(async () => (await rowsOf(run)) === RECORDS, 'the second worker took over');
    await sendQueue(run, false);
    await demand(async () => (await rowsOf(run)) === 0, 'the second worker deleted the rows');
    await goOn(run);
    first.kill('SIGCONT');
    await sleep(1500); // long enough for a worker that would write
    const rows = await rowsOf(run);
    return rows === 0 ? [] : [`${String(rows)} rows that were deleted are there again.`];
  },

  /** The first worker is paused before its table gets what it committed; the second one goes on from the topic. */
  async 'paused, table'(run) {
    const first = await startHeld(run, confidenceRouter.name, () => sendCaptured(run));
    first.kill('SIGSTOP');
    startWorker(run, confidenceRouter.name);
    await sendReviews(run, 1);
    await demand(
      async () => (await latestOf(run)).every(({ revision }) => revision === 1),
      'the first reviews counted',
    );
    await goOn(run);
    first.kill('SIGCONT');
    await sleep(300); // the old changes are written, before the partitions move again
    await sendReviews(run, 2);
    await demand(async () => (await decisionsOf(run)).length >= 3 * RECORDS, 'the second reviews counted');
    const wrong = (await latestOf(run)).filter(({ revision }) => revision !== 2).length;
    return wrong === 0 ? [] : [`${String(wrong)} conversations have forgotten their first review.`];
  },
};

/** Starts the first worker, and sends what it is to be held with. */
async function startHeld(run: Run, component: string, send: () => Promise<void>): Promise<ChildProcess> {
  const worker = startWorker(run, component, { SAMVAD_HOLD: run.home });
  await send();
  await demand(() => Promise.resolve(existsSync(path.join(run.home, REACHED))), 'the first worker reached its point');
  return worker;
}

function startWorker({ stack, program, home, workers }: Run, component: string, env = {}): ChildProcess {
  const worker = spawn(process.execPath, [path.join(program, 'bin', 'samvad.js'), 'run', component], {
    cwd: program,
    env: { ...process.env, ...stack.env, SAMVAD_HOME: home, ...env },
    stdio: 'ignore',
  });
  workers.push(worker);
  return worker;
}

async function goOn({ home }: Run): Promise<void> {
  await writeFile(path.join(home, GO_ON), '');
}

async function end(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  worker.kill('SIGCONT');
  worker.kill('SIGTERM');
  const timer = setTimeout(() => worker.kill('SIGKILL'), 5000);
  await ended;
  clearTimeout(timer);
}

/** Sends more, so that whoever reads the partitions now must have gone past the records before, and counts. */
async function decidedOnce(run: Run): Promise<readonly string[]> {
  const later: Run = { ...run, ids: run.ids.map((id) => `${id}/later`) };
  await sendCaptured(later);
  await demand(async () => (await decisionsOf(later)).length >= RECORDS, 'all were decided');
  const decisions = await decisionsOf(run);
  const extra = decisions.length - new Set(decisions.map((one) => one.conversation_id)).size;
  return extra === 0 ? [] : [`${String(extra)} decisions too many.`];
}

/** All decisions on the conversations of this run, the earlier ones of a conversation first. */
async function decisionsOf({ stack, ids }: Run): Promise<RoutingDecision[]> {
  const { servers, codecs } = stack.prepared;
  const wanted = new Set(ids);
  const found: RoutingDecision[] = [];
  for await (const { key, value } of readTopic(servers.kafka, topics.routingDecisions.name)) {
    if (value && wanted.has(String(key))) found.push(codecs.of(topics.routingDecisions).decode(value));
  }
  return found;
}

async function latestOf(run: Run): Promise<RoutingDecision[]> {
  const latest = new Map((await decisionsOf(run)).map((decision) => [decision.conversation_id, decision]));
  return [...latest.values()];
}

async function rowsOf({ stack, ids }: Run): Promise<number> {
  const { rows } = await stack.prepared.pool.query<{ n: string }>(
    'SELECT count(*) AS n FROM review_queue WHERE conversation_id = ANY($1)',
    [ids],
  );
  return Number(rows[0]?.n);
}

function sendCaptured(run: Run): Promise<void> {
  return send(run, topics.conversationEvents, (conversation_id) => ({
    conversation_id,
    captured: conversation({ conversation_id }),
    reviewed: null,
    policy: null,
    erased: null,
  }));
}

function sendReviews(run: Run, number: number): Promise<void> {
  return send(run, topics.conversationEvents, (conversation_id) => ({
    conversation_id,
    captured: null,
    reviewed: review({ conversation_id, review_id: String(number) }),
    policy: null,
    erased: null,
  }));
}

function sendQueue(run: Run, waiting: boolean): Promise<void> {
  return send(run, topics.reviewQueue, (conversation_id) => (waiting ? queued(conversation_id) : null));
}

function queued(conversation_id: string): ReviewItem {
  const { policy_version } = decide(defaultPolicy, conversation({ conversation_id }));
  return {
    conversation_id,
    conversation: conversation({ conversation_id }),
    priority_class: 1,
    score: 0.5,
    reasons: [],
    fingerprint: '',
    policy_version,
    drawn: false,
    answered_by: [],
  };
}

async function send<V>({ stack, ids }: Run, topic: Topic<V>, value: (id: string) => V | null): Promise<void> {
  const { servers, codecs } = stack.prepared;
  const producer = await connectProducer(librdkafkaConfig(servers.kafka, 'guards'));
  for (const id of ids) {
    const record = value(id);
    const bytes = record === null ? null : codecs.of(topic).encode(record);
    producer.produce(topic.name, partitionOf(id, PARTITIONS), bytes, id, Date.UTC(2026, 9, 5));
  }
  await call('sending', (done) => producer.flush(30_000, (error) => done(error, undefined)));
  await disconnect(producer);
}

async function demand(condition: () => Promise<boolean>, what: string): Promise<void> {
  if (!(await until(condition, LIMIT_MS)))
    throw new Error(`It is still not so that ${what}, after ${String(LIMIT_MS / 1000)} s.`);
}

/** Whether the condition held within `limitMs`. */
async function until(condition: () => Promise<boolean>, limitMs: number): Promise<boolean> {
  for (const deadline = Date.now() + limitMs; Date.now() < deadline; await sleep(200)) {
    if (await condition()) return true;
  }
  return condition();
}
