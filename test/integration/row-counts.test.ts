import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type pg from 'pg';
import { readQueue, readTotals } from '../../app/pipeline-figures.ts';
import { readSummary } from '../../app/summary.ts';
import { STANDING } from '../../http/models.ts';
import { readOverview } from '../../http/overview.ts';
import { startDatabase } from './stack.ts';
import type { Database } from './stack.ts';

/** Rows `from` to `to`, an hour apart, as a projection upserts them. */
const upsert = (from: number, to: number, route: string) => `
INSERT INTO conversation_logs (conversation_id, user_message, language, nlu_intent, nlu_module, nlu_confidence, nlu_provider, entities,
       route, route_reasons, policy_version, audit, review_status, revision, created_at, log_partition, log_offset, overlap, runners_up)
SELECT 'c-' || i, 'hello', 'en', 'greet', 'general', CASE WHEN i % 7 > 0 THEN i % 101 / 100.0 END, 'indicbert', '[]',
       '${route}', '[]', 'routing-v1', false, 'needs-review', 1, '2026-10-05T00:30:00Z'::timestamptz + i * interval '1 hour', i % 3, i, false, '[]'
  FROM generate_series(${from}, ${to}) i
ON CONFLICT (conversation_id) DO UPDATE SET route = excluded.route`;

const approve = (from: number, to: number, source: string) => `
INSERT INTO training_sample_rows (conversation_id, text, language, intent, module_type, entities, source, review_status, policy_version,
       created_at, approved_at, log_partition, log_offset)
SELECT 'c-' || i, 'hello', 'l-' || i % 2, 'greet', 'm-' || i % 5, '[]', '${source}', 'approved', 'routing-v1', now(), now(), i % 3, i
  FROM generate_series(${from}, ${to}) i
ON CONFLICT (conversation_id) DO UPDATE SET source = excluded.source, module_type = excluded.module_type || '/"x"'`;

const enqueue = (from: number, to: number) => `
INSERT INTO review_queue (conversation_id, user_message, language, nlu_intent, nlu_module, nlu_provider, entities, priority_class, score,
       reasons, fingerprint, sketch, policy_version, created_at, log_partition, log_offset, runners_up, drawn, answered_by)
SELECT 'c-' || i, 'hello', 'en', 'greet', 'general', 'indicbert', '[]', 1 + i % 2, 0.5, '[]', 'f', '[]', 'routing-v1',
       '2026-10-05T00:00:00Z'::timestamptz + i * interval '1 hour', i % 3, i, '[]', false, '[]'
  FROM generate_series(${from}, ${to}) i`;

describe('counts that triggers keep', { timeout: 120_000 }, () => {
  let database: Database;
  let pool: pg.Pool;

  before(async () => {
    database = await startDatabase();
    ({ pool } = database);
  });
  after(() => database.stop());

  const rowsOf = async <T extends object>(sql: string) => (await pool.query<T>(sql)).rows;

  async function equalsTables(): Promise<void> {
    const [tables] = await rowsOf<{ conversations: number; samples: number }>(
      `SELECT (SELECT count(*) FROM conversation_logs)::float8 AS conversations, (SELECT count(*) FROM training_samples)::float8 AS samples`,
    );
    assert.deepEqual(await readTotals(pool), tables);
    const summary = await readSummary(pool);
    for (const [name, table, column] of [
      ['routes', 'conversation_logs', 'route'],
      ['statuses', 'conversation_logs', 'review_status'],
      ['samplesByModule', 'training_samples', 'module_type'],
      ['samplesByLanguage', 'training_samples', 'language'],
    ] as const)
      assert.deepEqual(
        summary[name],
        await rowsOf(`SELECT ${column} AS name, count(*)::int AS count FROM ${table} GROUP BY 1 ORDER BY 2 DESC, 1`),
        name,
      );
    const [shares] = await rowsOf(
      `SELECT avg((route = 'auto-approved')::int)::float8 AS auto, (SELECT count(*)::int FROM review_queue WHERE answered_by = '[]') AS waiting
         FROM conversation_logs`,
    );
    assert.deepEqual({ auto: summary.autoApprovalRate, waiting: summary.totals.waiting }, shares);
    const { rows: standing } = await pool.query<object>(STANDING, ['{"0": 300, "1": 0, "2": 99999}']);
    assert.deepEqual(
      standing,
      await rowsOf(
        `SELECT count(*)::int AS samples, count(*) FILTER (WHERE source = 'human')::int AS by_people,
                count(*) FILTER (WHERE source = 'auto')::int AS automatic
           FROM training_samples WHERE (log_partition = 0 AND log_offset < 300) OR log_partition = 2`,
      ),
    );
    assert.deepEqual(
      (await readQueue(pool)).filter(({ waiting }) => waiting > 0),
      await rowsOf(
        `SELECT priority_class::int AS class, count(*)::int AS waiting, extract(epoch FROM min(created_at))::float8 AS oldest
           FROM review_queue WHERE answered_by = '[]' GROUP BY 1 ORDER BY 1`,
      ),
    );
    const last = `created_at >= (SELECT date_trunc('day', max(created_at), 'UTC') - interval '13 days' FROM conversation_logs)`;
    const bins = await rowsOf<{ bin: number; n: number }>(
      `SELECT least(floor(nlu_confidence * 20), 19)::int AS bin, count(*)::int AS n FROM conversation_logs
        WHERE nlu_confidence IS NOT NULL AND ${last} GROUP BY 1`,
    );
    assert.deepEqual(await readOverview(pool), {
      routing: await rowsOf(
        `SELECT extract(epoch FROM date_trunc('day', created_at, 'UTC'))::float8 AS at,
                count(*) FILTER (WHERE route = 'auto-approved')::int AS auto_approved,
                count(*) FILTER (WHERE route = 'needs-review')::int AS needs_review,
                count(*) FILTER (WHERE route = 'priority-review')::int AS priority_review
           FROM conversation_logs WHERE ${last} GROUP BY 1 ORDER BY 1`,
      ),
      confidence: Array.from({ length: 20 }, (_, bin) => bins.find((row) => row.bin === bin)?.n ?? 0),
    });
  }

  for (const [what, statements] of [
    ['new and relabelled samples', [approve(1, 600, 'auto'), approve(500, 700, 'human')]],
    ['withdrawals of samples', ['DELETE FROM training_sample_rows WHERE log_offset % 4 = 0']],
    ['inserts', [upsert(1, 900, 'needs-review'), enqueue(1, 600)]],
    ['an upsert that changes and adds rows', [upsert(800, 1200, 'auto-approved')]],
    [
      'deletions, also of the newest rows',
      ['DELETE FROM conversation_logs WHERE log_offset > 1100 OR log_partition = 1'],
    ],
    [
      'items that begin or cease to wait for a second person only',
      [
        `UPDATE review_queue SET answered_by = '["asha"]' WHERE log_offset < 60 OR log_offset % 5 = 0`,
        "UPDATE review_queue SET answered_by = '[]' WHERE log_offset % 10 = 0",
      ],
    ],
    [
      'deletions from the queue and changes of class',
      [
        'DELETE FROM review_queue WHERE log_offset < 50',
        'UPDATE review_queue SET priority_class = 3 WHERE log_offset < 90',
      ],
    ],
    ['a transaction that was rolled back', ['BEGIN', upsert(5000, 5100, 'needs-review'), 'ROLLBACK']],
    [
      'a table that is filled again',
      ['BEGIN', 'TRUNCATE conversation_logs', upsert(1, 700, 'priority-review'), 'COMMIT'],
    ],
    ['an empty table', ['TRUNCATE conversation_logs, review_queue']],
  ] as const) {
    it(`match the tables after ${what}`, async () => {
      const client = await pool.connect();
      try {
        for (const statement of statements) await client.query(statement);
      } finally {
        client.release();
      }
      await equalsTables();
    });
  }

  it('are 0 in an hour or a day without traffic, whatever the time zone of the connection', async () => {
    const client = await pool.connect();
    const counts = async () =>
      ((await readOverview(client)) as { routing: { at: number; needs_review: number }[] }).routing.map(
        ({ at, needs_review }) => [new Date(1000 * at).toISOString().slice(0, 13), needs_review],
      );
    try {
      await client.query("BEGIN; SET LOCAL TIME ZONE 'America/New_York'");
      await client.query(upsert(0, 0, 'needs-review').replace('2026-10-05', '2026-10-30'));
      await client.query(upsert(3, 3, 'needs-review').replace('2026-10-05', '2026-10-30'));
      assert.deepEqual(await counts(), [
        ['2026-10-30T00', 1],
        ['2026-10-30T01', 0],
        ['2026-10-30T02', 0],
        ['2026-10-30T03', 1],
      ]);
      await client.query(upsert(73, 73, 'needs-review').replace('2026-10-05', '2026-10-30')); // clocks went back on 1 November
      assert.deepEqual(await counts(), [
        ['2026-10-30T00', 2],
        ['2026-10-31T00', 0],
        ['2026-11-01T00', 0],
        ['2026-11-02T00', 1],
      ]);
      await client.query(upsert(-1, -1, 'needs-review').replace('2026-10-05', '2026-10-20'));
      assert.equal((await counts())[0]?.[0], '2026-10-30T00', 'the first of 14 days is 20 October');
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  it('accept a language of any length, which is part of their key', async () => {
    const language = Array.from({ length: 450 }, () => Math.random().toString(36).slice(2, 10)).join('-'); // does not compress
    await pool.query(approve(9000, 9000, 'auto').replace("'l-' || i % 2", `'${language}'`));
    const { samplesByLanguage } = await readSummary(pool);
    assert.ok(samplesByLanguage.some(({ name, count }) => name === language.slice(0, 100) && count === 1));
    await pool.query("DELETE FROM training_sample_rows WHERE conversation_id = 'c-9000'");
    await equalsTables();
  });

  it('let writers of different partitions work at the same time', async () => {
    const [one, other] = [await pool.connect(), await pool.connect()];
    try {
      const partition = (n: number) =>
        upsert(1, 60, 'needs-review')
          .replace(/i % 3, i,/, `${n}, i,`)
          .replace("'c-' || i", `'p${n}-' || i`);
      await one.query('BEGIN');
      await one.query(partition(0));
      await other.query("SET lock_timeout = '5s'");
      await other.query(partition(1));
      await one.query('COMMIT');
    } finally {
      one.release();
      other.release();
    }
    await equalsTables();
  });
});
