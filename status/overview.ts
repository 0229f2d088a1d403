/** What the dashboard draws besides live figures: the pipeline itself, and what the tables say over time. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { refusals } from './openapi.ts';

/** What the routes ask. */
export interface OverviewDeps {
  readonly pool: Pick<Pool, 'query'>;
  /** Topics, processors, projections and services, as `samvad topology --json` has them. */
  readonly topology: object;
}

/** How long one reading serves all who ask: each goes through the conversations of two weeks. */
const FRESH_MS = 5000;

/** Adds `/v1/topology`, `/v1/overview` and `/v1/training-runs`. */
export function overviewRoutes(app: FastifyInstance, { pool, topology }: OverviewDeps): void {
  const config = { role: 'read' } as const;
  const tags = ['read'];
  app.get(
    '/v1/topology',
    { config, schema: { tags, summary: 'The pipeline: who reads and writes what' } },
    () => topology,
  );
  let cached: { readonly until: number; readonly value: Promise<object> } | undefined;
  app.get(
    '/v1/overview',
    {
      config,
      schema: {
        tags,
        summary: 'Routing over time and the spread of confidence, over the two weeks up to the newest conversation',
        response: refusals(503),
      },
    },
    () => {
      if (!cached || cached.until < Date.now()) {
        const value = readOverview(pool);
        value.catch(() => (cached = undefined));
        cached = { until: Date.now() + FRESH_MS, value };
      }
      return cached.value;
    },
  );
  app.get(
    '/v1/training-runs',
    { config, schema: { tags, summary: 'Training runs, newest first, 100 at most', response: refusals(503) } },
    async () =>
      (await pool.query<object>('SELECT * FROM training_runs ORDER BY requested_at DESC, run_id LIMIT 100')).rows,
  );
}

const RANGE = `WITH newest AS (SELECT max(created_at) AS at FROM conversation_logs),
     span AS (SELECT min(created_at) AS since, max(created_at) AS until
                FROM conversation_logs, newest WHERE created_at > newest.at - interval '14 days'),
     part AS (SELECT c.* FROM conversation_logs c, span WHERE c.created_at >= span.since AND c.created_at <= span.until)`;

/** Buckets are hours where the traffic spans two days at most, and days otherwise (UTC). */
const ROUTING = `${RANGE}
SELECT extract(epoch FROM date_trunc(CASE WHEN span.until - span.since <= interval '2 days' THEN 'hour' ELSE 'day' END, created_at, 'UTC'))::float8 AS at,
       count(*) FILTER (WHERE route = 'auto-approved')::int AS auto_approved,
       count(*) FILTER (WHERE route = 'needs-review')::int AS needs_review,
       count(*) FILTER (WHERE route = 'priority-review')::int AS priority_review
  FROM part, span GROUP BY 1 ORDER BY 1`;

/** Twentieths of 0 to 1, the last with 1 itself. */
const CONFIDENCE = `${RANGE}
SELECT least(floor(nlu_confidence * 20), 19)::int AS bin, count(*)::int AS conversations
  FROM part WHERE nlu_confidence IS NOT NULL GROUP BY 1 ORDER BY 1`;

async function readOverview(pool: Pick<Pool, 'query'>): Promise<object> {
  const routing = (await pool.query<object>(ROUTING)).rows;
  const { rows } = await pool.query<{ bin: number; conversations: number }>(CONFIDENCE);
  const confidence = Array.from({ length: 20 }, (_, bin) => rows.find((row) => row.bin === bin)?.conversations ?? 0);
  return { routing, confidence };
}
