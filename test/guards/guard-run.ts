/** Runs the scenario of a guard on the complete program, or on a copy without the guard, and returns the broken promises. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
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
import type { Guard, Scenario } from './guards.ts';

const RECORDS = 60;
const LIMIT_MS = 150_000;
/** For another worker to start, and to take over from a worker that is paused in a transaction. */
const TAKE_OVER_MS = 75_000;
/** The same without the guard, where it must not succeed. If a machine needs longer, the only harm is that any guard seems needed. */
const TAKE_OVER_REMOVED_MS = 30_000;

/** A run of a scenario. */
interface Run {
  readonly stack: Stack;
  /** The folder of the program that the workers run. */
  readonly program: string;
  /** Whether it is the program without the guard. */
  readonly removed: boolean;
  /** What the workers of one host keep on disk. */
  readonly home: string;
  readonly ids: readonly string[];
  readonly workers: Worker[];
}

/** A process that runs one component and reports its points. */
interface Worker {
  readonly process: ChildProcess;
  /** Resolves when it has reached the point `times` times, by default once. */
  reached(point: string, times?: number): Promise<void>;
  /** Releases it from the point at which it is held. */
  goOn(): void;
}

/** Returns each broken promise as a sentence; `removed` says that `program` is the one without the guard. */
export async function runGuard(
  stack: Stack,
  guard: Guard,
  program: string,
  removed: boolean,
): Promise<readonly string[]> {
  const name = `${guard.scenario.replaceAll(' ', '-')}-${removed ? 'removed' : 'complete'}`;
  const ids = Array.from({ length: RECORDS }, (_, i) => `${name}/${String(i)}`);
  const run: Run = { stack, program, removed, home: path.join(stack.home, name), ids, workers: [] };
  try {
    return await scenarios[guard.scenario](run);
  } finally {
    await Promise.all(run.workers.map(end));
  }
}

const scenarios: Readonly<Record<Scenario, (run: Run) => Promise<readonly string[]>>> = {
  /** A second worker asks for its share of the partitions before the first has begun to write. */
  async 'joined in a commit'(run) {
    const first = await startHeld(run, confidenceRouter.name, 'commit', sendCaptured);
    const second = startWorker(run, confidenceRouter.name);
    await first.reached('revoked');
    if (run.removed) await second.reached('committed'); // with the guard it gets nothing before the first continues
    first.goOn();
    await first.reached('handled');
    return decidedOnce(run);
  },

  /** The same, before the first could begin a commit. */
  async 'joined after staging'(run) {
    const first = await startHeld(run, confidenceRouter.name, 'staged', sendCaptured);
    const second = startWorker(run, confidenceRouter.name);
    await second.reached('committed');
    first.goOn();
    await first.reached('handled');
    return decidedOnce(run);
  },

  /** A second worker, on another host, takes partitions over and hands them back. */
  async 'joined in a checkpoint'(run) {
    const first = await startHeld(run, confidenceRouter.name, 'checkpoint', sendCaptured);
    const second = startWorker({ ...run, home: `${run.home}-other-host` }, confidenceRouter.name);
    await first.reached('revoked');
    if (!run.removed) first.goOn(); // without the guard it records an end after records that only the second has
    await second.reached('assigned');
    await sendReviews(run, 1);
    await demand(async () => {
      const counted = (await latestOf(run)).filter(({ revision }) => revision === 1).length;
      return counted >= (run.removed ? RECORDS / 4 : RECORDS); // the first worker still holds its own partitions
    }, 'the first reviews counted');
    if (run.removed) first.goOn();
    await first.reached('checkpointed');
    await end(second);
    return countsReviews(run);
  },

  /** The first worker dies right after a commit; a second one goes on. */
  async 'killed after a commit'(run) {
    const first = await startHeld(run, confidenceRouter.name, 'committed', sendCaptured);
    first.process.kill('SIGKILL');
    startWorker(run, confidenceRouter.name);
    return decidedOnce(run);
  },

  /** The first worker is paused in a transaction that has its offsets already, and continues when the second, on another host, takes over. */
  async 'paused in a transaction'(run) {
    const first = await startHeld(run, confidenceRouter.name, 'offsets sent', sendCaptured);
    first.process.kill('SIGSTOP');
    const second = startWorker({ ...run, home: `${run.home}-other-host` }, confidenceRouter.name);
    // With the guard the second worker waits for the end of the transaction, and has restored nothing.
    await second.reached(run.removed ? 'restored' : 'taking over');
    first.goOn();
    first.process.kill('SIGCONT');
    await sendReviews(run, 1);
    const counted = async () => {
      const latest = await latestOf(run);
      return latest.length === RECORDS && latest.every(({ revision }) => revision === 1);
    };
    return (await comes(run, counted)) ? [] : ['The first reviews met a table without their conversations.'];
  },

  /** A batch of the first worker fails while the next is staged. */
  async 'failed with a batch behind it'(run) {
    const first = await startHeld(run, reviewQueue.name, 'moved', (to) => sendQueue(to, true));
    const more: Run = { ...run, ids: run.ids.map((id) => `${id}/later`) };
    await sendQueue(more, true);
    await first.reached('staged', 2);
    await run.stack.prepared.pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'",
    );
    first.goOn();
    const all = async () => (await rowsOf(run)) === RECORDS && (await rowsOf(more)) === RECORDS;
    return (await comes(run, all)) ? [] : ['Rows of the batch that failed were passed over.'];
  },

  /** The first worker is paused with a batch of rows; the second one writes them, and deletes them again. */
  async 'paused with rows'(run) {
    const first = await startHeld(run, reviewQueue.name, 'commit', (to) => sendQueue(to, true));
    first.process.kill('SIGSTOP');
    startWorker(run, reviewQueue.name);
    await demand(async () => (await rowsOf(run)) === RECORDS, 'the second worker took over');
    await sendQueue(run, false);
    await demand(async () => (await rowsOf(run)) === 0, 'the second worker deleted the rows');
    first.goOn();
    first.process.kill('SIGCONT');
    await first.reached('handled');
    const rows = await rowsOf(run);
    return rows === 0 ? [] : [`${String(rows)} rows that were deleted are there again.`];
  },

  /** The first worker is paused in a transaction, in which it has moved its offsets. */
  'paused between two statements': (run) => writesAfterPause(run, 'moved'),

  /** The same, while Postgres waits for its rows. */
  'paused in a copy': (run) => writesAfterPause(run, 'copying'),

  /** The first worker is paused before it asks for the end of its table's topic; the second one, on another host, writes there. */
  async 'paused in a checkpoint'(run) {
    const first = await startHeld(run, confidenceRouter.name, 'checkpoint', sendCaptured);
    first.process.kill('SIGSTOP');
    const second = startWorker({ ...run, home: `${run.home}-other-host` }, confidenceRouter.name);
    await sendReviews(run, 1);
    await demand(
      async () => (await latestOf(run)).every(({ revision }) => revision === 1),
      'the first reviews counted',
    );
    first.goOn();
    first.process.kill('SIGCONT');
    if (run.removed) await first.reached('checkpointed');
    await end(second);
    return countsReviews(run);
  },
};

/** Pauses the first worker at a point, for good; the second one has to write the rows of its batch. */
async function writesAfterPause(run: Run, holdAt: string): Promise<readonly string[]> {
  const first = await startHeld(run, reviewQueue.name, holdAt, (to) => sendQueue(to, true));
  first.process.kill('SIGSTOP');
  startWorker(run, reviewQueue.name);
  const written = await comes(run, async () => (await rowsOf(run)) === RECORDS);
  return written ? [] : ['The second worker still waits for the rows of the first.'];
}

/** Starts the first worker and holds it at a point, with the records of `send` in its batch. */
async function startHeld(
  run: Run,
  component: string,
  holdAt: string,
  send: (run: Run) => Promise<void>,
): Promise<Worker> {
  await send(run);
  const worker = startWorker(run, component, { SAMVAD_HOLD_AT: holdAt, SAMVAD_HOLD_WITH: String(RECORDS) });
  await worker.reached(holdAt);
  return worker;
}

function startWorker({ stack, program, home, workers }: Run, component: string, env = {}): Worker {
  const child = spawn(process.execPath, ['--import', 'tsx', path.join('test', 'guards', 'worker.ts'), component], {
    cwd: program,
    env: { ...process.env, ...stack.env, SAMVAD_HOME: home, ...env },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const points: unknown[] = [];
  child.on('message', (point) => points.push(point));
  const worker: Worker = {
    process: child,
    reached: (point, times = 1) =>
      demand(
        () => Promise.resolve(points.filter((one) => one === point).length >= times),
        `a worker has reached its point ${point}`,
      ),
    goOn() {
      child.send('go on');
    },
  };
  workers.push(worker);
  return worker;
}

/** Stops a worker, which leaves its group; kills it if it has not ended after 5 s. */
async function end({ process: child }: Worker): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await ended;
  clearTimeout(timer);
}

/** Sends more records, so that the current owners of the partitions have passed the earlier ones, and counts the decisions. */
async function decidedOnce(run: Run): Promise<readonly string[]> {
  const later: Run = { ...run, ids: run.ids.map((id) => `${id}/later`) };
  await sendCaptured(later);
  await demand(async () => (await decisionsOf(later)).length >= RECORDS, 'all were decided');
  const decisions = await decisionsOf(run);
  const extra = decisions.length - new Set(decisions.map((one) => one.conversation_id)).size;
  return extra === 0 ? [] : [`${String(extra)} decisions too many.`];
}

/** Sends second reviews, and counts the decisions that are on the first ones too. */
async function countsReviews(run: Run): Promise<readonly string[]> {
  await sendReviews(run, 2);
  await demand(async () => (await decisionsOf(run)).length >= 3 * RECORDS, 'the second reviews counted');
  const wrong = (await latestOf(run)).filter(({ revision }) => revision !== 2).length;
  return wrong === 0 ? [] : [`${String(wrong)} conversations have forgotten their first review.`];
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

/** Whether `condition` becomes true in the time in which a worker starts and takes over from a paused one. */
async function comes({ removed }: Run, condition: () => Promise<boolean>): Promise<boolean> {
  const limit = removed ? TAKE_OVER_REMOVED_MS : TAKE_OVER_MS;
  for (const deadline = Date.now() + limit; !(await condition()); await sleep(100))
    if (Date.now() > deadline) return false;
  return true;
}

async function demand(condition: () => Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; !(await condition()); await sleep(100)) {
    if (Date.now() > deadline)
      throw new Error(`After ${String(LIMIT_MS / 1000)} s, it is still not true that ${what}.`);
  }
}
