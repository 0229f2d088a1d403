import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startComponents } from '../../app/components.ts';
import { producerOptions } from '../../app/environment.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import type { IngestResult } from '../../producers/jsonl.ts';
import { librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { call, connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { digestTable } from '../../runtime/rebuild.ts';
import { conversationLogs } from '../../sinks/conversation-logs.ts';
import { topics } from '../../topology.ts';
import { codeVersion } from '../../trainer/code-version.ts';
import { deadLettersIn } from './letters.ts';
import { endAll, startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');

describe('commands while no component runs', { timeout: 300_000 }, () => {
  let stack: Stack;
  before(async () => {
    stack = await startStack();
    const { prepared } = stack;
    const components = await startComponents(['pipeline'], prepared);
    const producer = await createConversationProducer(producerOptions(prepared));
    await producer.captureConversation({
      ...{ conversation_id: 'here', user_message: 'where is my order?', language: 'en', nlu_confidence: 0.95 },
      ...{ nlu_intent: 'track_order', nlu_module: 'food', nlu_provider: 'indicbert' },
    });
    await producer.close();
    const writer = await connectProducer(librdkafkaConfig(prepared.servers.kafka, 'exit-codes'));
    writer.produce(topics.reviewQueue.name, 0, Buffer.from('{}'), 'bad');
    await call('sending', (done) => writer.flush(30_000, (error) => done(error, undefined)));
    await disconnect(writer);
    await untilCaughtUp(prepared.servers, prepared.pool);
    await components.stop();
  });
  after(() => endAll(() => stack.stop()));

  function samvad(...args: readonly string[]) {
    const env = { ...process.env, ...stack.env };
    return new Promise<{ code: unknown; out: string; err: string }>((resolve) => {
      execFile(process.execPath, [bin, ...args], { env }, (error, out, err) =>
        resolve({ code: error?.code ?? 0, out, err }),
      );
    });
  }

  it('tell the version of the program', async () => {
    assert.deepEqual(await samvad('--version'), { code: 0, out: `${codeVersion}\n`, err: '' });
  });

  it('print JSON with --json', async () => {
    const json = async (...args: readonly string[]) => {
      const { code, out, err } = await samvad(...args, '--json');
      assert.match(out, /^[^\n]+\n$/, err);
      return [code, JSON.parse(out) as unknown];
    };
    assert.deepEqual(await json('migrate'), [0, { applied: [] }]);
    assert.deepEqual(await json('weekly'), [0, null]);
    assert.deepEqual(await json('dead-letters', 'replay'), [1, { sent: 0, not_sent: 1 }]);
    const { pool } = stack.prepared;
    const digest = await digestTable(pool, conversationLogs);
    assert.deepEqual(await json('rebuild', 'conversation-logs'), [
      0,
      [{ projection: 'conversation-logs', table: 'conversation_logs', before: digest, after: digest }],
    ]);
    const file = path.join(stack.home, 'reviews.jsonl');
    const reviewed_at = '2026-10-05T12:00:00Z';
    const good = { conversation_id: 'here', verdict: 'approve', reviewer: 'asha', reviewed_at };
    await writeFile(file, `${JSON.stringify(good)}\n${JSON.stringify({ ...good, verdict: 'yes' })}\n`);
    const [code, result] = await json('ingest', '--reviews', file);
    const { refusals, ...counts } = result as IngestResult;
    assert.deepEqual([code, counts], [1, { lines: 2, accepted: 1, rejected: 1 }]);
    assert.deepEqual(
      refusals.map(({ line, problems }) => [line, problems[0]?.field]),
      [[2, 'verdict']],
    );
  });

  it('have exit code 2 when a policy is not in force yet, or an erasure is not done yet', async () => {
    const file = path.join(stack.home, 'policy.json');
    await writeFile(file, JSON.stringify({ ...defaultPolicy, version: 'routing-v2' }));
    const [policy, erasure] = await Promise.all([
      samvad('policy', 'apply', file, '--reason', 'a test'),
      samvad('erase', 'here', '--reason', 'case 17'),
    ]);
    assert.match(policy.out, /^routing-v2 is in the log, but intake .* has not processed it yet/);
    assert.match(erasure.out, /^The request for 1 conversation is in the log/);
    assert.deepEqual([policy.code, erasure.code], [2, 2]);
  });

  it("have exit code 1 when a dead letter can't be sent again", async () => {
    const [letter] = await deadLettersIn(stack.prepared);
    assert.equal(letter?.topic, topics.reviewQueue.name);
    for (const args of [[], [letter.id]]) {
      const { code, out, err } = await samvad('dead-letters', 'replay', ...args);
      assert.deepEqual([code, out], [1, 'Sent 0 again.\n']);
      assert.match(err, /^1 were not sent\. .* of internal topics run `samvad rebuild`/);
    }
    assert.equal((await samvad('dead-letters', 'replay', '--code', 'too-large')).code, 0);
  });

  // Last, because it leaves a job in the log that no projection reads here.
  it('say which manifest of an export can not be read', async () => {
    const { code, err } = await samvad('export', '--manifest', stack.home);
    assert.equal(code, 1);
    assert.match(err, new RegExp(`^${stack.home} can't be read: EISDIR: `));
  });
});
