/** Commands that lose Kafka after it has answered them: what they print while it is away, and when it is back. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { producerOptions } from '../../app/environment.ts';
import { erase } from '../../operations/erasure.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { topics } from '../../topology.ts';
import { sentConversation } from '../fixtures.ts';
import { startReviewing } from './reviewing.ts';
import type { Reviewing } from './reviewing.ts';
import { endAll } from './stack.ts';

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
const COMMANDS = ['erase', 'ingest', 'review'] as const;
/** Longer than a command takes if it does not wait for Kafka: 15 s for tables, 5 s to close its producer. */
const OUTAGE_MS = 25_000;

describe('a command that loses Kafka', { timeout: 300_000 }, () => {
  let reviewing: Reviewing;
  const outputs = new Map<string, { out: string; err: string }>();
  const ends = new Map<string, Promise<unknown>>();
  const children: ReturnType<typeof spawn>[] = [];
  const outputOf = (name: string) => outputs.get(name) ?? { out: '', err: '' };

  /** Starts a command with `input` as its standard input. */
  function start(name: string, args: readonly string[], input = ''): void {
    const env = { ...process.env, ...reviewing.stack.env };
    const child = spawn(process.execPath, [bin, name, ...args], { env });
    const output = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output.err += chunk.toString()));
    child.stdin.end(input);
    children.push(child);
    outputs.set(name, output);
    ends.set(name, once(child, 'close'));
  }

  before(async () => {
    reviewing = await startReviewing();
    const { stack, capture } = reviewing;
    const file = path.join(stack.home, 'two.jsonl');
    await writeFile(file, `${JSON.stringify(sentConversation('sent'))}\nno JSON\n`);
    await capture([{ conversation_id: 'unwanted' }, { conversation_id: 'over-http' }]);
    await capture([{ conversation_id: 'asked', nlu_module: 'asked' }]);
    // Each command prepares the log first, then the tables, and waits there while this transaction holds the lock of migrations.
    const { pool } = stack.prepared;
    const gate = await pool.connect();
    try {
      await gate.query('BEGIN');
      await gate.query('LOCK TABLE schema_migrations');
      start('erase', ['unwanted', '--reason', 'case 17', '--by', 'meera']);
      start('ingest', [file, '--rate', '0.2']); // so that its minute of waiting begins 10 s later
      start('review', ['--reviewer', 'asha', '--module', 'asked'], 'a\n');
      for (let waiting = 0; waiting < COMMANDS.length; await sleep(50)) {
        const { rows } = await pool.query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
        waiting = rows.length;
      }
      stack.platform.kill('kafka', 'SIGKILL');
      await gate.query('ROLLBACK');
    } finally {
      gate.release();
    }
  });
  after(() => endAll(...children.map((child) => () => child.kill('SIGKILL')), () => reviewing.stop()));

  it('waits for it, after it has reported what was refused', async () => {
    const { prepared } = reviewing.stack;
    const deps = {
      pool: prepared.pool,
      producer: await createConversationProducer({
        ...producerOptions(prepared),
        spoolFolder: path.join(reviewing.stack.home, 'spool-of-http'),
      }),
    };
    try {
      const grounds = { requested_by: 'meera', reason: 'case 18' };
      const [done] = await Promise.all([erase(deps, { conversation_id: 'over-http' }, grounds), sleep(OUTAGE_MS)]);
      assert.deepEqual(done, { conversations: ['over-http'], outcome: 'spooled' });
    } finally {
      await deps.producer.close();
    }
    assert.match(outputOf('ingest').err, /two\.jsonl:2: /);
    assert.match(outputOf('review').out, /1 answer given\.\n$/);
    assert.deepEqual([outputOf('erase').out, outputOf('ingest').out], ['', '']);
    assert.deepEqual(
      children.map(({ exitCode }) => exitCode),
      COMMANDS.map(() => null),
    );
  });

  it('ends as usual once it is back', async () => {
    const { platform, prepared } = reviewing.stack;
    await platform.restart('kafka');
    const codes = new Map<string, unknown>();
    for (const [name, end] of ends) codes.set(name, ((await end) as unknown[])[0]);
    assert.deepEqual(Object.fromEntries(codes), { erase: 2, ingest: 1, review: 0 }, JSON.stringify([...outputs]));
    assert.match(outputOf('erase').out, /^The request for 1 conversation is in the log, /);
    assert.match(outputOf('ingest').out, /^1 of 2 lines are in the log, 1 were refused\.\n$/);
    const asked = [];
    for await (const { key } of readTopic(prepared.servers.kafka, topics.erasures.name)) asked.push(String(key));
    assert.ok(asked.includes('unwanted'));
  });
});
