import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readAccuracy } from '../../kpi/read-accuracy.ts';
import { readTasks } from '../../review/tasks.ts';
import { startDatabase } from './stack.ts';
import type { Database } from './stack.ts';

const range = { from: '2026-10-01', to: '2026-10-31' };

describe('production accuracy from the tables', () => {
  let database: Database;

  before(async () => {
    database = await startDatabase();
  });
  after(() => database.stop());

  /** Replaces all conversations by `rows`, which are equal apart from the given fields. */
  async function insert(rows: readonly Readonly<Record<string, unknown>>[]): Promise<void> {
    const usual = {
      ...{ user_message: 'where is it', language: 'en', nlu_intent: 'track_order', nlu_module: 'food' },
      ...{ nlu_confidence: 0.8, nlu_provider: 'indicbert', model_version: 'router-v1.0.0', entities: [] },
      ...{ route: 'needs-review', route_reasons: [], policy_version: 'p', audit: false, review_status: 'approved' },
      ...{ revision: 1, created_at: '2026-10-05T09:30:00Z', overlap: false, runners_up: [] },
      ...{ log_partition: 0, log_offset: 0 },
    };
    const all = rows.map((row, i) => ({ conversation_id: `c-${i}`, ...usual, ...row }));
    await database.pool.query('TRUNCATE conversation_logs');
    await database.pool.query(
      'INSERT INTO conversation_logs SELECT * FROM jsonb_populate_recordset(NULL::conversation_logs, $1)',
      [JSON.stringify(all)],
    );
  }
  const approved = { verdict: 'approve' };

  it('counts equal texts with one prediction as one answer, in each slice', async () => {
    await insert([
      ...['Where is order 4521?', 'where is order 17', 'WHERE IS ORDER'].map((text) => ({
        user_message: text,
        ...approved,
      })),
      { user_message: 'where is order 3', language: 'hi', ...approved },
      { user_message: 'where is order', nlu_intent: 'cancel_order', ...approved },
      { user_message: 'ऑर्डर कहाँ है', language: 'hi', ...approved },
      { user_message: 'रिफंड कहाँ है', language: 'hi', ...approved },
      { user_message: 'where is order' },
    ]);
    const { all, languages, intents } = await readAccuracy(database.pool, range);
    assert.deepEqual([all.conversations, all.answers, all.effective], [8, 7, 7 ** 2 / (4 ** 2 + 3)]);
    const of = (slices: typeof languages) => slices.map(({ name, answers, effective }) => [name, answers, effective]);
    assert.deepEqual(of(languages), [
      ['en', 4, 4 ** 2 / (3 ** 2 + 1)],
      ['hi', 3, 3],
    ]);
    assert.deepEqual(of(intents), [
      ['food/track_order', 6, 6 ** 2 / (4 ** 2 + 2)],
      ['food/cancel_order', 1, 1],
    ]);
  });

  it('counts each audit by itself, because each was drawn by chance', async () => {
    const audit = { route: 'auto-approved', audit: true, audit_propensity: 0.05, nlu_confidence: 0.9, ...approved };
    await insert([audit, audit, audit]);
    const { all } = await readAccuracy(database.pool, range);
    assert.deepEqual([all.answers, all.effective], [3, 3]);
  });

  it('counts a correction to the predicted label as an approval, also in the suggestions of the inbox', async () => {
    const corrected = { verdict: 'correct', corrected_module: 'food', corrected_intent: 'track_order' };
    await insert([
      { user_message: 'a', ...corrected },
      { user_message: 'b', ...corrected },
      { user_message: 'c', ...corrected, corrected_module: 'ride' },
      { user_message: 'd', verdict: 'reject' },
      { user_message: 'e', verdict: 'skip' },
    ]);
    const { all } = await readAccuracy(database.pool, range);
    assert.deepEqual([all.answers, all.naive, all.missing], [3, 2 / 3, 1]);
    await database.pool.query(
      `INSERT INTO review_queue (conversation_id, user_message, language, nlu_intent, nlu_module, nlu_provider, entities, priority_class, score,
         reasons, fingerprint, sketch, policy_version, created_at, log_partition, log_offset, runners_up, drawn, answered_by)
       VALUES ('w', 'f', 'en', 'track_order', 'food', 'indicbert', '[]', 2, 0.5, '[]', 'f', '[]', 'p', now(), 0, 0, '[]', false, '[]')`,
    );
    const [task] = await readTasks(database.pool, { reviewer: 'asha', session: 's' }, ['w']);
    assert.deepEqual(task?.suggestions, [{ module: 'ride', intent: 'track_order', times: 1 }]);
  });
});
