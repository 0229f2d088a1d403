/** Kills and pauses workers and servers under load, then counts. Used by the crash test. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { cp, mkdtemp, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readLag } from '../../cli/lag.ts';
import { producerOptions } from '../../cli/environment.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { subjectOf } from '../../stream/event-key.ts';
import type { Topic } from '../../stream/topic.ts';
import { topics } from '../../topology.ts';
import { deadLettersIn } from '../integration/letters.ts';
import { startStack } from '../integration/stack.ts';
import type { Stack } from '../integration/stack.ts';

/** What happens to the workers, in this order. */
export interface CrashPlan {
  /** Folder with the program that the workers run. */
  readonly source: string;
  readonly events: number;
  /** Rounds in which two of three workers are paused until they are taken over and the third is killed -9 meanwhile. */
  readonly rounds: number;
  readonly brokerKills: number;
  readonly postgresKills: number;
}

const WORKERS = 3;
/** Longer than session.timeout.ms (6 s): the partitions of a paused worker are taken over. */
const PAUSE_MS = 8500;
const DRAIN_MS = 240_000;

const confidenceOf = (i: number) => (i % 101) / 100;
const isReviewed = (i: number) => i % 10 === 3;
const isRepeated = (i: number) => i % 50 === 7;

/** Runs the plan on servers of its own. Returns each broken promise as a sentence; none when all of them were kept. */
export async function crashRun(plan: CrashPlan): Promise<string[]> {
  const stack = await startStack();
  const workers: ChildProcess[] = [];
  const start = (slot: number) => {
    const bin = path.join(plan.source, 'bin', 'samvad.js');
    const env = { ...process.env, ...stack.env, SAMVAD_LOG_LEVEL: 'debug' };
    const log = openSync(path.join(stack.home, `worker-${String(slot)}.log`), 'a');
    workers[slot] = spawn(process.execPath, [bin, 'run', 'pipeline'], {
      cwd: plan.source,
      env,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
  };
  try {
    for (let slot = 0; slot < WORKERS; slot++) start(slot);
    const faults = injectFaults(plan, stack, workers, start);
    await Promise.all([produce(plan, stack, faults), faults]);
    for (const [slot, worker] of workers.entries())
      if (worker.exitCode !== null || worker.signalCode !== null) start(slot);
    const stuck = await drain(stack);
    const broken = [...stuck, ...(await brokenPromises(plan, stack))];
    return broken.length === 0 ? broken : [...broken, `What there was to see is in ${await keepEvidence(stack)}.`];
  } finally {
    for (const worker of workers) worker.kill('SIGKILL');
    await stack.stop();
  }
}

async function injectFaults(
  { rounds, brokerKills, postgresKills }: CrashPlan,
  { platform }: Stack,
  workers: readonly ChildProcess[],
  start: (slot: number) => void,
): Promise<void> {
  let random = 42;
  const below = (n: number) => (random = (random * 1_103_515_245 + 12_345) % 2 ** 31) % n;
  await sleep(8000); // the first assignment
  for (let round = 0; round < rounds; round++) {
    await sleep(1000 + below(2000));
    const killed = round % WORKERS;
    const paused = workers.filter((_, slot) => slot !== killed);
    for (const worker of paused) worker.kill('SIGSTOP');
    await sleep(below(1500));
    workers[killed]?.kill('SIGKILL');
    start(killed);
    await sleep(PAUSE_MS);
    for (const worker of paused) worker.kill('SIGCONT');
  }
  for (let i = 0; i < brokerKills; i++) {
    await sleep(3000);
    platform.kill('kafka', 'SIGKILL');
    await sleep(i === 0 ? 500 : 12_000); // once at once, once for longer than any call waits
    await platform.restart('kafka');
  }
  for (let i = 0; i < postgresKills; i++) {
    await sleep(3000);
    platform.kill('postgres', 'SIGKILL');
    await sleep(1000);
    await platform.restart('postgres');
  }
}

/** Conversations, some twice, and reviews of some, spread over the time that the faults take. */
async function produce({ events }: CrashPlan, { prepared }: Stack, faults: Promise<void>): Promise<void> {
  const producer = await createConversationProducer(producerOptions(prepared));
  const over = new AbortController();
  const end = () => over.abort();
  faults.then(end, end);
  const CHUNK = 250;
  for (let from = 0; from < events; from += CHUNK) {
    const sends: Promise<unknown>[] = [];
    for (let i = from; i < Math.min(from + CHUNK, events); i++) {
      const sent = conversationNumber(i);
      sends.push(producer.captureConversation(sent));
      if (isRepeated(i)) sends.push(producer.captureConversation(sent));
      if (isReviewed(i)) {
        const { conversation_id } = sent;
        sends.push(
          producer.submitReview({
            conversation_id,
            verdict: 'approve',
            reviewer: 'asha',
            reviewed_at: '2026-10-05T10:00:00Z',
          }),
        );
      }
    }
    await Promise.all(sends);
    if (!over.signal.aborted) await sleep(700);
  }
  while (producer.stats().spoolBytes > 0) await sleep(100);
  await producer.close();
}

function conversationNumber(i: number) {
  return {
    conversation_id: `crash-${String(i)}`,
    user_message: `where is my order number ${String(i)}?`,
    language: 'en',
    nlu_intent: 'track_order',
    nlu_module: 'food',
    nlu_confidence: confidenceOf(i),
    nlu_provider: 'indicbert' as const,
    created_at: '2026-10-05T09:30:00Z',
  };
}

async function drain({ prepared }: Stack): Promise<string[]> {
  const deadline = Date.now() + DRAIN_MS;
  for (let quiet = 0; quiet < 3;) {
    const lags = await readLag(prepared.servers, prepared.pool);
    quiet = lags.every(({ lag }) => lag === 0) ? quiet + 1 : 0;
    const behind = lags.filter(({ lag }) => lag > 0).map(({ component, lag }) => `${component} ${String(lag)}`);
    if (Date.now() > deadline) return [`Four minutes after the last fault these are behind: ${behind.join(', ')}.`];
    await sleep(500);
  }
  return [];
}

async function brokenPromises({ events }: CrashPlan, { prepared }: Stack): Promise<string[]> {
  const { servers, codecs, pool } = prepared;
  const broken: string[] = [];
  const expect = (what: string, found: number, expected: number) => {
    if (found !== expected) broken.push(`${what}: ${String(found)} instead of ${String(expected)}.`);
  };
  const numbers = Array.from({ length: events }, (_, i) => i);
  const trusted = numbers.filter((i) => confidenceOf(i) > 0.85 || isReviewed(i)).length;
  const reviewed = numbers.filter(isReviewed).length;

  const captures = new Map<string, number>();
  let reviews = 0;
  for await (const { value } of readTopic(servers.kafka, topics.conversationEvents.name)) {
    const event = value && codecs.of(topics.conversationEvents).decode(value);
    if (event?.captured) captures.set(event.conversation_id, (captures.get(event.conversation_id) ?? 0) + 1);
    if (event?.reviewed) reviews++;
  }
  expect('conversations in the log', captures.size, events);
  expect('conversations that are more than once in the log', [...captures.values()].filter((n) => n > 1).length, 0);
  expect('reviews in the log', reviews, reviewed);

  // A decision changes once with a review; the two may come together in one transaction.
  const decisions = new Map<string, number>();
  for await (const { key } of readTopic(servers.kafka, topics.routingDecisions.name))
    decisions.set(String(key), (decisions.get(String(key)) ?? 0) + 1);
  expect('conversations with a decision', decisions.size, events);
  const tooMany = numbers.filter((i) => (decisions.get(`crash-${String(i)}`) ?? 0) > (isReviewed(i) ? 2 : 1));
  expect('conversations with too many decisions', tooMany.length, 0);

  const samples = new Set<string>();
  for await (const { key } of readTopic(servers.kafka, topics.trainingSamples.name))
    samples.add(subjectOf(String(key)));
  expect('conversations with samples', samples.size, trusted);

  let counted = 0;
  const counts = new Map<string, number>();
  for await (const { key, value } of readTopic(servers.kafka, topics.approvedSampleCounts.name))
    if (value) counts.set(String(key), codecs.of(topics.approvedSampleCounts).decode(value).approved);
  for (const count of counts.values()) counted += count;
  expect('approved samples by the counter', counted, trusted);

  const one = async (sql: string) => Number((await pool.query<{ n: string }>(sql)).rows[0]?.n);
  expect('rows of conversation_logs', await one('SELECT count(*) AS n FROM conversation_logs'), events);
  expect('rows of training_samples', await one('SELECT count(*) AS n FROM training_samples'), trusted);
  const waiting = numbers.filter((i) => confidenceOf(i) <= 0.85 && !isReviewed(i)).length;
  const unreviewed = "SELECT count(*) AS n FROM conversation_logs WHERE review_status = 'needs-review'";
  expect('conversations that need a review', await one(unreviewed), waiting);
  expect('dead letters', (await deadLettersIn({ servers, codecs })).length, 0);
  return broken;
}

/** Copies the workers' logs and what the topics of their tables hold, because the servers go. */
async function keepEvidence({ home, prepared: { servers, codecs } }: Stack): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-crash-'));
  for (let slot = 0; slot < WORKERS; slot++)
    await cp(path.join(home, `worker-${String(slot)}.log`), path.join(folder, `worker-${String(slot)}.log`));
  for (const topic of Object.values<Topic>(topics)) {
    const lines: string[] = [];
    for await (const { partition, offset, key, value } of readTopic(servers.kafka, topic.name))
      lines.push(
        JSON.stringify({
          partition,
          offset,
          key: String(key),
          value: value && codecs.of(topic).decode(value),
        }),
      );
    await writeFile(path.join(folder, `${topic.name}.jsonl`), lines.join('\n'));
  }
  return folder;
}
