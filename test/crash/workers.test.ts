/** Workers are killed and paused while events flow; then everything is counted. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { startComponents } from '../../cli/components.ts';
import type { RunningComponents } from '../../cli/components.ts';
import { readLag } from '../../cli/lag.ts';
import { librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { listDeadLetters } from '../../runtime/dead-letters.ts';
import { call, connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { topics } from '../../topology.ts';
import { conversation } from '../fixtures.ts';
import { startStack } from '../integration/stack.ts';
import type { Stack } from '../integration/stack.ts';

const EVENTS = 50_000;
const KILLS = 10;
const PAUSES = 4;
const PROCESSORS = ['intake', 'confidence-router', 'review-prioritizer', 'sample-builder', 'sample-counter'];
const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');

describe('killed and paused workers', () => {
  let stack: Stack;
  let projecting: RunningComponents;
  const workers = new Map<number, ChildProcess>();

  function startWorker(slot: number): void {
    const child = spawn(process.execPath, [bin, 'run', ...PROCESSORS], {
      env: { ...process.env, ...stack.env },
      stdio: 'ignore',
    });
    workers.set(slot, child);
  }

  async function produce(count: number, from: number): Promise<void> {
    const { servers, codecs } = stack.prepared;
    const producer = await connectProducer({
      ...librdkafkaConfig(servers.kafka, 'crash'),
      'queue.buffering.max.messages': 200_000,
      'linger.ms': 20,
    });
    for (let i = from; i < from + count; i++) {
      const sent = conversation({ conversation_id: `crash-${i}`, nlu_confidence: (i % 101) / 100 });
      producer.produce(
        topics.conversations.name,
        null,
        codecs.of(topics.conversations).encode(sent),
        sent.conversation_id,
      );
    }
    await call('flushing', (done) => producer.flush(60_000, (error) => done(error, undefined)));
    await disconnect(producer);
  }

  async function drained(): Promise<void> {
    const deadline = Date.now() + 240_000;
    for (let quiet = 0; quiet < 3;) {
      const lags = await readLag(stack.prepared.servers, stack.prepared.pool);
      quiet = lags.every(({ lag }) => lag === 0) ? quiet + 1 : 0;
      if (Date.now() > deadline)
        assert.fail(`Still behind after four minutes: ${JSON.stringify(lags.filter(({ lag }) => lag > 0))}`);
      await sleep(500);
    }
  }

  before(async () => {
    stack = await startStack();
    projecting = await startComponents(['conversation-logs', 'training-samples', 'review-queue'], stack.prepared);
  });
  after(async () => {
    for (const child of workers.values()) child.kill('SIGKILL');
    await projecting.stop();
    await stack.stop();
  });

  it('leave exactly one decision and one row a conversation, and exact counts', { timeout: 600_000 }, async () => {
    startWorker(0);
    startWorker(1);
    let random = 42;
    const next = (below: number) => (random = (random * 1_103_515_245 + 12_345) % 2 ** 31) % below;
    for (let i = 0; i < KILLS; i++) {
      await produce(EVENTS / KILLS, (i * EVENTS) / KILLS);
      await sleep(3000 + next(3000));
      const slot = next(2);
      workers.get(slot)?.kill('SIGKILL');
      startWorker(slot);
      if (i % Math.floor(KILLS / PAUSES) === 0) {
        const paused = workers.get(1 - slot);
        paused?.kill('SIGSTOP');
        await sleep(8000); // longer than session.timeout.ms: its partitions are taken over
        paused?.kill('SIGCONT');
      }
    }
    await drained();
    const { servers, codecs, pool } = stack.prepared;
    const decided = new Map<string, number>();
    for await (const { key } of readTopic(servers.kafka, topics.routingDecisions.name))
      decided.set(String(key), (decided.get(String(key)) ?? 0) + 1);
    assert.equal(decided.size, EVENTS);
    assert.deepEqual(
      [...decided].filter(([, n]) => n !== 1),
      [],
    );
    const one = async (sql: string) => Number((await pool.query<{ n: string }>(sql)).rows[0]?.n);
    assert.equal(await one('SELECT count(*) AS n FROM conversation_logs'), EVENTS);
    const trusted = Array.from({ length: EVENTS }, (_, i) => (i % 101) / 100).filter(
      (confidence) => confidence > 0.85,
    ).length;
    assert.equal(await one('SELECT count(*) AS n FROM training_samples'), trusted);
    const counts = new Map<string, number>();
    for await (const { key, value } of readTopic(servers.kafka, topics.approvedSampleCounts.name)) {
      if (value) counts.set(String(key), codecs.of(topics.approvedSampleCounts).decode(value).approved);
    }
    assert.equal(
      [...counts.values()].reduce((sum, n) => sum + n, 0),
      trusted,
    );
    assert.deepEqual(await listDeadLetters(servers.kafka, codecs, topics.deadLetters), []);
  });
});
