/** Kills and pauses workers and servers under load, then counts. Used by the crash test. */
import { cp, mkdtemp, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { producerOptions } from '../../app/environment.ts';
import { readLag } from '../../app/lag.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { subjectOf } from '../../stream/event-key.ts';
import type { Topic } from '../../stream/topic.ts';
import { topics } from '../../topology.ts';
import { deadLettersIn } from '../integration/letters.ts';
import { startStack } from '../integration/stack.ts';
import type { Stack } from '../integration/stack.ts';
import { logOf, startWorkers } from './workers.ts';
import type { WorkerCounts, Workers } from './workers.ts';

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

/** The result of a run. */
export interface CrashReport extends WorkerCounts {
  /** Events sent by the time that the last killed server was back; later ones met no fault. */
  readonly sentAtLastFault: number;
  /** Each broken promise as a sentence. */
  readonly broken: readonly string[];
}

const WORKERS = 3;
const DRAIN_MS = 240_000;
const SPOOL_MS = 120_000;
const CHUNK = 250;
const CHUNK_MS = 700;

const confidenceOf = (i: number) => (i % 101) / 100;
const isReviewed = (i: number) => i % 10 === 3;
const isRepeated = (i: number) => i % 50 === 7;

/** Runs the plan on servers of its own. */
export async function crashRun(plan: CrashPlan): Promise<CrashReport> {
  const stack = await startStack();
  let workers: Workers | undefined;
  try {
    workers = startWorkers(WORKERS, plan.source, stack);
    let sent = 0;
    const faults = injectFaults(plan, stack, workers).then(() => sent);
    await Promise.all([produce(plan, stack, faults, (events) => (sent = events)), faults]);
    const sentAtLastFault = await faults;
    const stuck = await drain(stack);
    const broken = [...stuck, ...(await brokenPromises(plan, stack)), ...workers.broken];
    if (broken.length > 0) broken.push(`The evidence is in ${await keepEvidence(stack)}.`);
    return { ...workers.counts, sentAtLastFault, broken };
  } finally {
    workers?.end();
    await stack.stop();
  }
}

async function injectFaults(
  { rounds, brokerKills, postgresKills }: CrashPlan,
  { platform }: Stack,
  workers: Workers,
): Promise<void> {
  let random = 42;
  const below = (n: number) => (random = (random * 1_103_515_245 + 12_345) % 2 ** 31) % n;
  for (let round = 0; round < rounds; round++) {
    await workers.untilAllHold();
    await sleep(below(2000));
    const killed = round % WORKERS;
    const paused = Array.from({ length: WORKERS }, (_, slot) => slot).filter((slot) => slot !== killed);
    for (const slot of paused) workers.pause(slot);
    await sleep(below(1500));
    await workers.replace(killed);
    await workers.untilTakenOverBy(killed, paused);
    await sleep(500 + below(1000)); // the new owner works for a while
    workers.goOn(paused);
  }
  await workers.untilAllHold();
  for (let i = 0; i < brokerKills; i++) {
    await sleep(3000);
    platform.kill('kafka', 'SIGKILL');
    await sleep(i === 0 ? 500 : 12_000); // first a short outage, then one longer than any call waits
    await platform.restart('kafka');
  }
  for (let i = 0; i < postgresKills; i++) {
    await sleep(3000);
    platform.kill('postgres', 'SIGKILL');
    await sleep(1000);
    await platform.restart('postgres');
  }
}

/**
 * Sends conversations, some twice, and reviews of some. While there are faults, it sends at most a hundredth of the rest at a time,
 * so that some are left at the last fault, however long the faults take. The rest follows without pauses.
 */
async function produce(
  { events }: CrashPlan,
  { prepared }: Stack,
  faults: Promise<unknown>,
  onSent: (events: number) => void,
): Promise<void> {
  const producer = await createConversationProducer(producerOptions(prepared));
  const over = new AbortController();
  const end = () => over.abort();
  faults.then(end, end);
  for (let from = 0, to: number; from < events; from = to) {
    to = Math.min(from + (over.signal.aborted ? CHUNK : Math.min(CHUNK, Math.ceil((events - from) / 100))), events);
    const sends: Promise<unknown>[] = [];
    for (let i = from; i < to; i++) {
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
    onSent(to);
    if (!over.signal.aborted) await sleep(CHUNK_MS);
  }
  for (const deadline = Date.now() + SPOOL_MS; producer.stats().spoolBytes > 0; await sleep(100))
    if (Date.now() > deadline)
      throw new Error(`The spool was not empty ${String(SPOOL_MS / 1000)} s after the last fault.`);
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

/** Copies the workers' logs and the records of all topics to a folder that outlives the servers. */
async function keepEvidence(stack: Stack): Promise<string> {
  const { servers, codecs } = stack.prepared;
  const folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-crash-'));
  for (let slot = 0; slot < WORKERS; slot++)
    await cp(logOf(stack, slot), path.join(folder, path.basename(logOf(stack, slot))));
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
