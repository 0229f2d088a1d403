import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { sendTraffic } from '../../cli/demo.ts';
import { untilDrained } from '../../cli/ingest.ts';
import { erase } from '../../operations/erasure.ts';
import type { ErasureDeps } from '../../operations/erasure.ts';
import type { ConversationProducer } from '../../producers/conversation-producer.ts';
import { ingestJsonl, UnreadableFile } from '../../producers/jsonl.ts';
import { RecordTooLarge } from '../../producers/kafka-link.ts';
import { SpoolFull } from '../../producers/spool.ts';
import { memoryProducer } from './memory-producer.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-jsonl-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const line = (id: string) =>
  JSON.stringify({
    conversation_id: id,
    user_message: 'where is my order?',
    language: 'en',
    nlu_intent: 'track_order',
    nlu_module: 'food',
    nlu_provider: 'llm',
    created_at: '2025-10-05T09:30:00Z',
  });

async function fileOf(content: string | Buffer): Promise<string> {
  const file = path.join(folder, `${String(Math.random())}.jsonl`);
  await writeFile(file, content);
  return file;
}

describe('ingest of a file', () => {
  it('reads a compressed one, and refuses it when it is cut off', async () => {
    const packed = gzipSync(`${line('c-1')}\n${line('c-2')}\n`);
    const file = path.join(folder, 'packed.jsonl.gz');
    await writeFile(file, packed);
    const { accepted, rejected } = await ingestJsonl({ file, kind: 'conversation', producer: memoryProducer() });
    assert.deepEqual([accepted, rejected], [2, 0]);
    await writeFile(file, packed.subarray(0, 60));
    await assert.rejects(ingestJsonl({ file, kind: 'conversation', producer: memoryProducer() }), UnreadableFile);
  });

  it('sends every good line, and reports each bad one with its number', async () => {
    const bytes = Buffer.concat([
      Buffer.from(`\ufeff${line('c-1')}\r\n`),
      Buffer.from('\n'),
      Buffer.from('{"conversation_id": \n'),
      Buffer.from(`${line('c-4')}\n`),
      Buffer.from([0x22, 0xff, 0xfe, 0x22, 0x0a]),
      Buffer.from(`${line('c-6').replace('"en"', '"no language"')}\n`),
      Buffer.from(`${'x'.repeat(5 * 1024 * 1024)}\n`),
      Buffer.from(line('c-8')),
    ]);
    const producer = memoryProducer();
    const result = await ingestJsonl({ file: await fileOf(bytes), kind: 'conversation', producer });
    assert.deepEqual(
      producer.events.map(({ record }) => record.conversation_id),
      ['c-1', 'c-4', 'c-8'],
    );
    assert.deepEqual([result.lines, result.accepted, result.rejected], [8, 3, 4]);
    assert.deepEqual(
      result.refusals.map((refusal) => [refusal.line, refusal.problems[0]?.field]),
      [
        [3, 'conversation'],
        [5, 'conversation'],
        [6, 'language'],
        [7, 'conversation'],
      ],
    );
    assert.match(result.refusals[0]?.problems[0]?.message ?? '', /^It is not JSON: /);
    assert.match(result.refusals[1]?.problems[0]?.message ?? '', /UTF-8/);
    assert.match(result.refusals[3]?.problems[0]?.message ?? '', /has 5242880 bytes/);
  });

  it('counts all refusals and keeps the first hundred', async () => {
    const file = await fileOf('{}\n'.repeat(250));
    const result = await ingestJsonl({ file, kind: 'review', producer: memoryProducer() });
    assert.equal(result.rejected, 250);
    assert.deepEqual(
      result.refusals.map((refusal) => refusal.line),
      Array.from({ length: 100 }, (_, i) => i + 1),
    );
  });

  it('sends many lines at a time, but not all of them', async () => {
    let [now, most] = [0, 0];
    const file = await fileOf(Array.from({ length: 20_000 }, (_, i) => `${line(String(i))}\n`).join(''));
    const producer = memoryProducer();
    const seen: number[] = [];
    const result = await ingestJsonl({
      file,
      kind: 'conversation',
      producer: {
        async send(event) {
          most = Math.max(most, ++now);
          await new Promise((resolve) => setTimeout(resolve, 5));
          now--;
          return producer.send(event);
        },
      },
      onProgress: (lines) => seen.push(lines),
    });
    assert.equal(result.accepted, 20_000);
    assert.ok(most > 100 && most <= 5000, `${most} at a time`);
    assert.equal(seen.at(-1), 20_000);
  });

  it('sends no line before its time', async () => {
    const file = await fileOf(`${line('c')}\n`.repeat(50));
    const started = Date.now();
    const sent: number[] = [];
    const producer = memoryProducer(() => void sent.push(Date.now() - started));
    await ingestJsonl({ file, kind: 'conversation', producer, rate: 100 });
    assert.equal(sent.length, 50);
    for (const [i, at] of sent.entries()) assert.ok(at >= i * 10 - 10, `line ${i + 1} after ${at} ms`);
  });

  it('sends a line at once when its time has passed', { timeout: 60_000 }, async (t) => {
    const file = await fileOf(`${line('c')}\n`.repeat(3));
    let now = Date.now();
    t.mock.method(Date, 'now', () => (now += 10 * 3_600_000));
    const anHour = 1 / 3600;
    const result = await ingestJsonl({ file, kind: 'conversation', producer: memoryProducer(), rate: anHour });
    assert.equal(result.accepted, 3);
  });

  it('waits for room in a full spool', async () => {
    let full = 2;
    const producer = memoryProducer(() => {
      if (full-- > 0) throw new SpoolFull('Full.', 0.01);
    });
    const result = await ingestJsonl({ file: await fileOf(line('c')), kind: 'conversation', producer });
    assert.equal(result.accepted, 1);
  });

  it('does not catch up in a burst after a stall', async () => {
    const file = await fileOf(`${line('c')}\n`.repeat(40));
    const sent: number[] = [];
    const producer = memoryProducer(() => void sent.push(Date.now()));
    let stall = 2000;
    const onProgress = (): void => {
      for (const until = Date.now() + stall; Date.now() < until;); // a full spool also stops the reading of lines
      stall = 0;
    };
    await ingestJsonl({ file, kind: 'conversation', producer, rate: 20, onProgress });
    const burst = sent.filter((at) => at - (sent[1] ?? 0) < 200).length;
    assert.ok(burst <= 28, `${burst} lines at once, of 20 a second`);
  });

  it('keeps the order of reviews of a conversation where one waits for room', async () => {
    const answer = (verdict: string) =>
      JSON.stringify({ conversation_id: 'c', verdict, reviewer: 'asha', reviewed_at: '2025-10-05T09:30:00Z' });
    let full = 1;
    const producer = memoryProducer(() => {
      if (full-- > 0) throw new SpoolFull('Full.', 0.01);
    });
    await ingestJsonl({ file: await fileOf(`${answer('approve')}\n${answer('reject')}\n`), kind: 'review', producer });
    assert.deepEqual(
      producer.events.map((event) => event.kind === 'review' && event.record.verdict),
      ['approve', 'reject'],
    );
  });

  it('reports a line that Kafka refuses, and stops at any other failure', async () => {
    const file = await fileOf(`${line('small')}\n${line('large')}\n`);
    const refusing = memoryProducer(({ record }) => {
      if (record.conversation_id === 'large') throw new RecordTooLarge('Too large.');
    });
    const result = await ingestJsonl({ file, kind: 'conversation', producer: refusing });
    assert.deepEqual(result.refusals, [{ line: 2, problems: [{ field: 'conversation', message: 'Too large.' }] }]);
    const broken = memoryProducer(() => {
      throw new Error('The disk is gone.');
    });
    await assert.rejects(ingestJsonl({ file, kind: 'conversation', producer: broken }), /The disk is gone/);
  });

  it('says which file is missing', async () => {
    const missing = ingestJsonl({ file: '/nowhere/x.jsonl', kind: 'review', producer: memoryProducer() });
    await assert.rejects(
      missing,
      (error) => error instanceof UnreadableFile && error.message.includes('/nowhere/x.jsonl'),
    );
  });
});

it('an erasure of many conversations leaves room for other records', async () => {
  let [now, most] = [0, 0];
  const all = Array.from({ length: 2500 }, (_, i) => ({ conversation_id: `c-${i}`, forgotten: true }));
  const pool = { query: () => Promise.resolve({ rows: all }) } as unknown as ErasureDeps['pool'];
  const producer: ErasureDeps['producer'] = {
    async send({ record }) {
      most = Math.max(most, ++now);
      await sleep(5);
      now--;
      return { conversation_id: record.conversation_id, stored: 'kafka' };
    },
  };
  const done = await erase({ pool, producer }, { user_id: 'u-1' }, { requested_by: 'crm', reason: 'case 17' });
  assert.deepEqual([done.conversations.length, done.outcome], [2500, 'erased']);
  assert.ok(most <= 1000, `${most} at a time`);
});

it('a command waits as long as the spool shrinks, and a minute more', async (t) => {
  let now = Date.now();
  t.mock.method(Date, 'now', () => (now += 10_000));
  const producerOf = (least: number) => {
    let spoolBytes = 15;
    const stats = () => ({ spoolBytes: Math.max(least, spoolBytes--) }) as ReturnType<ConversationProducer['stats']>;
    return { flush: () => Promise.resolve(), stats };
  };
  await untilDrained(producerOf(0));
  await assert.rejects(untilDrained(producerOf(10)), /10 bytes wait in the spool/);
});

it('the demo continues only when Kafka has the spooled records, because it deletes its folder', async () => {
  const spool = { bytes: 1000 };
  const kafka = sleep(500).then(() => (spool.bytes = 0));
  const stats = () => ({ spoolBytes: spool.bytes }) as ReturnType<ConversationProducer['stats']>;
  const producer = { ...memoryProducer(), flush: () => Promise.resolve(), stats };
  const { conversations } = await sendTraffic(producer, await fileOf(line('c-1')));
  assert.deepEqual([conversations.accepted, spool.bytes], [1, 0]);
  await kafka;
});
