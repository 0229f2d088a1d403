import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { startComponents } from '../../app/components.ts';
import { producerOptions } from '../../app/environment.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { projections } from '../../pipeline.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { ingestJsonl } from '../../producers/jsonl.ts';
import { random, shuffle } from '../../trainer/learning/random.ts';
import { startStack } from './stack.ts';

const examples = path.join(import.meta.dirname, '..', '..', 'examples');

type File = 'conversations' | 'reviews';

/** The content of every table, without places in the log, after `files` were sent in this order. */
async function tablesAfter(files: readonly { readonly name: File; readonly text: string }[]) {
  const stack = await startStack();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-order-'));
  try {
    const { prepared } = stack;
    const components = await startComponents(['pipeline'], prepared);
    const producer = await createConversationProducer(producerOptions(prepared));
    for (const { name, text } of files) {
      const file = path.join(folder, `${name}.jsonl`);
      await writeFile(file, text);
      await ingestJsonl({ file, kind: name === 'reviews' ? 'review' : 'conversation', producer });
    }
    await producer.close();
    await untilCaughtUp(prepared.servers, prepared.pool);
    await components.stop();
    const tables = new Map<string, readonly string[]>();
    for (const table of [...projections.map((projection) => projection.table), 'training_queue']) {
      const { rows } = await prepared.pool.query<{ row: string }>(
        `SELECT (to_jsonb(t) - '{log_partition,log_offset,place}'::text[])::text AS row FROM ${table} t ORDER BY 1`,
      );
      tables.set(
        table,
        rows.map(({ row }) => row),
      );
    }
    return tables;
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The lines in an order chosen by `seed`; those of one conversation keep their order. */
function shuffled(text: string, seed: number): string {
  const byConversation = new Map<string, string[]>();
  for (const line of text.trimEnd().split('\n')) {
    const id = /"conversation_id":"([^"]+)"/.exec(line)?.[1] ?? line;
    byConversation.set(id, [...(byConversation.get(id) ?? []), line]);
  }
  const groups = [...byConversation.values()];
  const order = Int32Array.from(groups.keys());
  shuffle(order, random(seed));
  return [...order].flatMap((i) => groups[i] ?? []).join('\n');
}

describe('the same traffic in another order', () => {
  it('gives the same tables and the same queue', async () => {
    const [conversations, reviews] = await Promise.all(
      ['conversations', 'reviews'].map((name) => readFile(path.join(examples, `${name}.jsonl`), 'utf8')),
    );
    assert.ok(conversations !== undefined && reviews !== undefined);
    const asWritten = await tablesAfter([
      { name: 'conversations', text: conversations },
      { name: 'reviews', text: reviews },
    ]);
    // Reviews come before their conversations too; intake puts them after these.
    const otherwise = await tablesAfter([
      { name: 'reviews', text: shuffled(reviews, 1) },
      { name: 'conversations', text: shuffled(conversations, 2) },
    ]);
    assert.equal(asWritten.get('conversation_logs')?.length, 3721);
    for (const [table, rows] of asWritten) {
      const known = new Set(rows);
      const others = otherwise.get(table)?.filter((row) => !known.has(row));
      assert.deepEqual([otherwise.get(table)?.length, others?.slice(0, 2)], [rows.length, []], table);
    }
  });
});
