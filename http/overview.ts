/** Data of the dashboard other than live figures: the topology, and counts over time. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { keptAnswers } from './kept-answers.ts';
import { RUN_ROW } from './models.ts';
import { refusals } from './openapi.ts';

/** The dependencies of the routes. */
export interface OverviewDeps {
  readonly pool: Pick<Pool, 'query'>;
  /** Topics, processors, projections and services, as in `samvad topology --json`. */
  readonly topology: object;
}

/** Adds `/v1/topology`, `/v1/overview` and `/v1/training-runs`. */
export function overviewRoutes(app: FastifyInstance, { pool, topology }: OverviewDeps): void {
  const config = { role: 'read' } as const;
  const tags = ['read'];
  app.get(
    '/v1/topology',
    { config, schema: { tags, summary: 'The pipeline: the topics that each component reads and writes' } },
    () => topology,
  );
  const overview = keptAnswers(() => readOverview(pool));
  app.get(
    '/v1/overview',
    {
      config,
      schema: {
        tags,
        summary:
          'Routes over time and the distribution of confidence, in the 14 days (UTC) that end with the day of the newest conversation',
        response: refusals(503),
      },
    },
    async () => (await overview()).value,
  );
  app.get(
    '/v1/training-runs',
    { config, schema: { tags, summary: 'Training runs, newest first, 100 at most', response: refusals(503) } },
    async () =>
      (await pool.query<object>(`SELECT ${RUN_ROW} FROM training_runs ORDER BY requested_at DESC, run_id LIMIT 100`))
        .rows,
  );
}

/** The counts of one relation in the 14 days (UTC) that end with the day of the newest conversation. */
const part = (relation: 'routes' | 'confidences') => `
SELECT at, kind, rows FROM row_counts
 WHERE relation = '${relation}' AND rows > 0
   AND at >= (SELECT date_trunc('day', max(at), 'UTC') - interval '312 hours' FROM row_counts WHERE relation = '${relation}' AND rows > 0)`;

/**
 * Buckets are hours if the traffic spans at most two days, otherwise days (UTC). Empty buckets are included, because a
 * line across a gap would suggest traffic there. A day is 24 hours, independent of the connection's time zone.
 */
const ROUTING = `
WITH part AS (${part('routes')}),
     span AS (SELECT CASE WHEN max(at) - min(at) < interval '2 days' THEN 'hour' ELSE 'day' END AS unit, min(at) AS first, max(at) AS last FROM part),
     buckets AS (SELECT unit, generate_series(date_trunc(unit, first, 'UTC'), last, CASE unit WHEN 'hour' THEN interval '1 hour' ELSE interval '24 hours' END) AS bucket
                   FROM span)
SELECT extract(epoch FROM bucket)::float8 AS at,
       coalesce(sum(rows) FILTER (WHERE kind = 'auto-approved'), 0)::int AS auto_approved,
       coalesce(sum(rows) FILTER (WHERE kind = 'needs-review'), 0)::int AS needs_review,
       coalesce(sum(rows) FILTER (WHERE kind = 'priority-review'), 0)::int AS priority_review
  FROM buckets LEFT JOIN part ON date_trunc(unit, at, 'UTC') = bucket GROUP BY bucket ORDER BY bucket`;

/** Twenty bins from 0 to 1; the last includes 1. */
const CONFIDENCE = `
SELECT kind::int AS bin, sum(rows)::int AS conversations FROM (${part('confidences')}) AS part WHERE kind <> '' GROUP BY 1 ORDER BY 1`;

/** The answer of `GET /v1/overview`, from the counts in migrations/007_figures.sql. */
export async function readOverview(pool: Pick<Pool, 'query'>): Promise<object> {
  const routing = (await pool.query<object>(ROUTING)).rows;
  const { rows } = await pool.query<{ bin: number; conversations: number }>(CONFIDENCE);
  const confidence = Array.from({ length: 20 }, (_, bin) => rows.find((row) => row.bin === bin)?.conversations ?? 0);
  return { routing, confidence };
}
