import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { inTransaction } from '../../runtime/postgres-pool.ts';
import { applyBatch, encodeBatch, sendBatch } from '../../runtime/projection-store.ts';
import type { Projection } from '../../stream/projection.ts';
import { topics } from '../../topology.ts';
import { startDatabase } from './stack.ts';
import type { Database } from './stack.ts';

/** Texts by key; a text that begins with "forget " deletes the rows whose text is the rest. */
const notes: Projection<string> = {
  name: 'notes',
  topic: { ...topics.conversations, name: 'nlu.notes' } as unknown as Projection<string>['topic'],
  table: 'notes',
  key: 'id',
  columns: { id: 'text', said: 'text' },
  forgets: { column: 'said', of: (text) => (text.startsWith('forget ') ? text.slice(7) : undefined) },
  row: (text) => ['a', text],
};

describe('a row from a later record', { timeout: 120_000 }, () => {
  let database: Database | undefined;
  before(async () => {
    database = await startDatabase();
    const columns = 'id text PRIMARY KEY, said text, log_partition int, log_offset bigint';
    await database.pool.query(`CREATE TABLE notes (${columns})`);
  });
  after(() => database?.stop());
  beforeEach(async () => {
    await database?.pool.query('TRUNCATE notes');
    await apply(9, 'nine');
  });

  /** Applies one record, as a process does that another has overtaken. */
  async function apply(offset: number, text: string | null): Promise<void> {
    assert.ok(database);
    const value = text === null ? null : Buffer.from(text);
    const place = { topic: notes.topic.name, partition: 0, timestamp: 0, traceparent: null };
    const batch = encodeBatch(notes, [{ ...place, offset, key: Buffer.from('a'), value }], {
      decode: (bytes) => bytes.toString(),
      onPoison(_, poison) {
        throw poison;
      },
    });
    await inTransaction(database.pool, async (client) => {
      await sendBatch(client, notes, batch);
      await applyBatch(client, notes, batch);
    });
  }

  async function rows(): Promise<readonly unknown[]> {
    const found = await database?.pool.query<{ said: string; log_offset: string }>(
      'SELECT said, log_offset FROM notes',
    );
    return (found?.rows ?? []).map(({ said, log_offset }) => [said, Number(log_offset)]);
  }

  it('is not overwritten by an earlier record, but by the next one', async () => {
    await apply(5, 'five');
    assert.deepEqual(await rows(), [['nine', 9]]);
    await apply(10, 'ten');
    assert.deepEqual(await rows(), [['ten', 10]]);
  });

  it('is not deleted by an earlier record, but by the next one', async () => {
    await apply(5, null);
    assert.deepEqual(await rows(), [['nine', 9]]);
    await apply(10, null);
    assert.deepEqual(await rows(), []);
  });

  it('is not forgotten through an earlier record, but through the next one', async () => {
    await apply(5, 'forget nine');
    assert.deepEqual(await rows(), [['nine', 9]]);
    await apply(10, 'forget nine');
    assert.deepEqual(await rows(), []);
  });
});
