import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readDailyReport } from '../../jobs/daily-report.ts';
import type { Day } from '../../kpi/day.ts';
import { MAX_EXTERNAL_BYTES } from '../../stream/batch.ts';
import { startDatabase } from './stack.ts';
import type { Database } from './stack.ts';

const DAY = '2026-10-05' as Day;
const inputs = {
  closedAt: Date.UTC(2026, 9, 6),
  training: { unused: 0, threshold: 1000, reached: false },
  told: new Map<Day, number>(),
};

/** 3,000 conversations that each have names of their own, of 100 letters of three bytes, and 200 that share one name. */
const INSERT = `
INSERT INTO conversation_logs (conversation_id, user_message, language, nlu_intent, nlu_module, nlu_confidence, nlu_provider, model_version,
       entities, route, route_reasons, policy_version, audit, review_status, revision, created_at, log_partition, log_offset, overlap, runners_up)
SELECT 'c-' || i, 'hello', 'en-x-' || n, n, n, 0.5, 'indicbert', n, '[]',
       'needs-review', '[]', 'routing-v1', false, 'needs-review', 1, '${DAY}T09:30:00Z', i % 3, i, false, '[]'
  FROM generate_series(1, 3200) i, LATERAL (SELECT lpad(greatest(i, 200)::text, 100, '\u0915') AS n) names`;

describe('the report on a day with thousands of names', { timeout: 120_000 }, () => {
  let database: Database;
  before(async () => {
    database = await startDatabase();
  });
  after(() => database.stop());

  it('lists the names with most conversations, and fits into its record', async () => {
    await database.pool.query(INSERT);
    const report = await readDailyReport(database.pool, DAY, inputs);
    assert.equal(report.conversations.conversations, 3200);
    for (const slices of [report.modules, report.languages, report.accuracy.versions]) {
      assert.equal(slices.length, 100);
      assert.equal(slices[0]?.conversations, 200);
    }
    assert.equal(report.doubtful_intents.length, 10);
    assert.ok(Buffer.byteLength(JSON.stringify(report)) < MAX_EXTERNAL_BYTES);
  });
});
