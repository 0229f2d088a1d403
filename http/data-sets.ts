/** The training data: approved samples, data sets and exports. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { DATA_SET } from '../topology.ts';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';

/** The dependencies of the routes. */
export interface DataSetDeps {
  readonly pool: Pick<Pool, 'query'>;
  readonly training: {
    /** The number of new approvals that starts a run. */
    readonly threshold: number;
    /**
     * The number of approvals ever counted, read from the log like the trainer does. @throws Transient when Kafka does
     * not answer.
     */
    approvals(): Promise<number>;
  };
}

const tags = ['models'];
const config = { role: 'read' } as const;
const SHOWN = 100;

/** Adds `/v1/samples`, `/v1/data-sets`, `/v1/data-sets/:sha256` and `/v1/export-jobs`. */
export function dataSetRoutes(app: FastifyInstance, { pool, training }: DataSetDeps): void {
  const rows = async (sql: string, values: readonly unknown[] = []) =>
    (await pool.query<Record<string, unknown>>(sql, [...values])).rows;

  app.get(
    '/v1/samples',
    {
      config,
      schema: {
        tags,
        summary: 'Numbers of approved samples and of unused ones, and the progress towards the next run',
        description:
          '`approvals_since_last_run` is what the trainer compares with the threshold: approvals, not samples. A sample that is ' +
          'relabelled, or whose label another person confirms, counts again, and a withdrawal does not lower the number.',
        response: refusals(503),
      },
    },
    async () => {
      const [samples] = await rows(SAMPLES);
      const [last] = await rows(
        `SELECT coalesce(max(approvals), 0)::float8 AS asked FROM training_runs WHERE data_set = '${DATA_SET}'`,
      );
      const since = (await training.approvals()) - Number(last?.['asked'] ?? 0);
      return { ...samples, threshold: training.threshold, approvals_since_last_run: Math.max(0, since) };
    },
  );
  app.get(
    '/v1/data-sets',
    {
      config,
      schema: {
        tags,
        summary: `Data sets of runs and exports, newest first, ${SHOWN} at most`,
        response: refusals(503),
      },
    },
    () =>
      rows(
        `${MADE} SELECT sha256, min(at) AS made_at, (array_agg(rows ORDER BY at))[1] AS rows, ${USES}
                   FROM made GROUP BY sha256 ORDER BY min(at) DESC, sha256 LIMIT ${SHOWN}`,
      ),
  );
  app.get<{ Params: { sha256: string } }>(
    '/v1/data-sets/:sha256',
    {
      config,
      schema: {
        tags,
        summary: 'One data set: its manifest, and the runs and exports that used it',
        description:
          'The manifest is from the first run or export that made these bytes: offsets per partition, filters, counts, policy and code version.',
        params: { type: 'object', properties: { sha256: { type: 'string', pattern: '^[0-9a-f]{64}$' } } },
        response: refusals(400, 404, 503),
      },
    },
    async ({ params: { sha256 } }) => {
      const [found] = await rows(
        `${MADE} SELECT sha256, min(at) AS made_at, (array_agg(manifest ORDER BY at))[1] AS manifest, ${USES}
                   FROM made WHERE sha256 = $1 GROUP BY sha256`,
        [sha256],
      );
      if (found) return found;
      throw new HttpProblem(404, 'No run and no export has made this data set; GET /v1/data-sets lists them.');
    },
  );
  app.get(
    '/v1/export-jobs',
    {
      config,
      schema: {
        tags,
        summary: `Exports, newest first, ${SHOWN} at most`,
        description: 'An export whose process was killed stays `running`.',
        response: refusals(503),
      },
    },
    () =>
      rows(
        `SELECT id, status, format, filters, output, samples, sha256, error, created_at, finished_at
           FROM training_export_jobs ORDER BY created_at DESC, id LIMIT ${SHOWN}`,
      ),
  );
}

/** Unused samples lie after the offsets that all versions together have consumed, as in `training_samples`. */
const SAMPLES = `
WITH used AS (SELECT key::int AS partition, max(value::bigint) AS next_offset
                FROM model_versions, jsonb_each_text(consumed) GROUP BY 1)
SELECT coalesce(sum(rows), 0)::int AS standing,
       coalesce(sum(rows) FILTER (WHERE kind::jsonb ->> 0 = 'human'), 0)::int AS by_people,
       coalesce(sum(rows) FILTER (WHERE kind::jsonb ->> 0 = 'auto'), 0)::int AS automatic,
       (SELECT coalesce(sum(unused), 0)::int
          FROM (SELECT DISTINCT log_partition FROM row_counts WHERE relation = 'samples') part
               LEFT JOIN used ON used.partition = part.log_partition,
               LATERAL (SELECT count(*) AS unused FROM training_sample_rows s
                         WHERE s.log_partition = part.log_partition AND s.log_offset >= coalesce(used.next_offset, 0)) one) AS unused
  FROM row_counts WHERE relation = 'samples'`;

/** A row for each time a data set was made. */
const MADE = `
WITH made AS (
  SELECT data_set_sha256 AS sha256, manifest, (manifest ->> 'rows')::int AS rows, requested_at AS at, run_id, version, NULL AS export_id
    FROM training_runs WHERE manifest IS NOT NULL
  UNION ALL
  SELECT sha256, manifest, samples, created_at, NULL, NULL, id FROM training_export_jobs WHERE manifest IS NOT NULL
)`;

const USES = `
coalesce(jsonb_agg(jsonb_build_object('run_id', run_id, 'version', version) ORDER BY at) FILTER (WHERE run_id IS NOT NULL), '[]') AS runs,
coalesce(jsonb_agg(export_id ORDER BY at) FILTER (WHERE export_id IS NOT NULL), '[]') AS exports`;
