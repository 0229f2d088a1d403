/** Model versions, their origin, and their traffic over time; read from Postgres, except for the state of rollouts. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import type { ModelLog } from '../policy/model-log.ts';
import { rolloutOf } from '../policy/trial.ts';
import { refusals } from './openapi.ts';
import { HttpProblem, shorten } from './problem.ts';

/** The dependencies of the routes. */
export interface ModelDeps {
  readonly pool: Pick<Pool, 'query'>;
  /** For lineages, which may read many samples. */
  readonly scans: Pick<Pool, 'query'>;
  /** The model log, which has the state of rollouts; undefined before it is read. */
  readonly models: () => ModelLog | undefined;
}

type Row = Record<string, unknown>;

const tags = ['models'];
const version = { type: 'object', properties: { version: { type: 'string' } } } as const;
const page = {
  type: 'object',
  properties: {
    limit: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
    after: { type: 'string', pattern: '^[0-9]{1,9}/[0-9]{1,15}$', description: '`next` of the previous page' },
  },
} as const;

/**
 * The columns of the model log's tables. The driver returns a bigint as a string, so the offset is cast to a number; of
 * two columns with one name the later counts.
 */
const ROW = '*, log_offset::float8';
/** A row of `training_runs`. */
export const RUN_ROW = `${ROW}, approvals::float8`;

/** Adds `/v1/models`, `/v1/models/production`, `/v1/models/:version`, `/v1/models/:version/lineage`, `/v1/deployments`. */
export function modelRoutes(app: FastifyInstance, { pool, scans, models }: ModelDeps): void {
  const on =
    (through: Pick<Pool, 'query'>) =>
    async (sql: string, values: readonly unknown[] = []) =>
      (await through.query<Row>(sql, [...values])).rows;
  const rows = on(pool);
  const config = { role: 'read' } as const;
  const withRollout = (row: Row): Row => {
    const log = models();
    return { ...row, ...(log ? rolloutOf(log, String(row['version'])) : { judged: null, no_trial: null }) };
  };
  const description =
    "`judged` is the last verdict on a step of its rollout, with its reasons and the people's labels at the time; `no_trial` is why " +
    'a version that may be promoted is not put on trial. Both come from the model log and are null until it has been read.';

  app.get(
    '/v1/models',
    { config, schema: { tags, summary: 'Every model version, newest first', description, response: refusals(503) } },
    async () =>
      (await rows(`SELECT ${ROW} FROM model_versions ORDER BY created_at DESC, version DESC`)).map(withRollout),
  );
  app.get(
    '/v1/models/production',
    { config, schema: { tags, summary: 'The version in production', description, response: refusals(404, 503) } },
    async () => {
      const [row] = await rows(`SELECT ${ROW} FROM model_versions WHERE status = 'production'`);
      if (row) return withRollout(row);
      throw new HttpProblem(404, 'No version is in production; give one the traffic with `samvad promote VERSION`.');
    },
  );
  app.get<{ Params: { version: string } }>(
    '/v1/models/:version',
    { config, schema: { tags, summary: 'One version', description, params: version, response: refusals(404, 503) } },
    async ({ params }) => withRollout(await findVersion(pool, params.version)),
  );
  app.get<{ Params: { version: string }; Querystring: { limit: number; after?: string } }>(
    '/v1/models/:version/lineage',
    {
      config,
      schema: {
        tags,
        summary: 'From a version to its run, the offsets of its data set, the samples there and their reviews',
        description:
          'The offset ranges and the manifest describe what the version was trained on. The samples are those in these ranges that stand ' +
          'today, without those that were withdrawn or relabelled since and those with an open audit.',
        params: version,
        querystring: page,
        response: refusals(400, 404, 503),
      },
    },
    async ({ params, query }) => lineage(on(scans), await findVersion(pool, params.version), query.limit, query.after),
  );
  app.get<{ Querystring: { limit: number } }>(
    '/v1/deployments',
    {
      config,
      schema: {
        tags,
        summary: 'Every change of a status or a share of the traffic, newest first',
        querystring: { type: 'object', properties: { limit: page.properties.limit } },
        response: refusals(400, 503),
      },
    },
    ({ query }) => rows(`SELECT ${ROW} FROM model_deployments d ORDER BY d.log_offset DESC LIMIT $1`, [query.limit]),
  );
}

type Query = (sql: string, values?: readonly unknown[]) => Promise<Row[]>;

/** The row of a version. @throws HttpProblem 404 when it does not exist. */
export async function findVersion(pool: Pick<Pool, 'query'>, name: string): Promise<Row> {
  // Postgres text can't hold a zero character, so no version has such a name.
  const sql = `SELECT ${ROW} FROM model_versions WHERE version = $1`;
  const row = name.includes('\0') ? undefined : (await pool.query<Row>(sql, [name])).rows[0];
  if (row) return row;
  throw new HttpProblem(404, `There is no version ${JSON.stringify(shorten(name))}; GET /v1/models lists them.`);
}

/** Current samples below the offsets that the version consumed; later ones are excluded. */
export const STANDING = `
WITH part AS (SELECT key::int AS log_partition, value::bigint AS next_offset FROM jsonb_each_text($1)),
     counts AS (
       SELECT kind::jsonb ->> 0 AS source, sum(rows) AS samples
         FROM row_counts JOIN part USING (log_partition) WHERE relation = 'samples' GROUP BY 1
       UNION ALL
       SELECT later.source, -later.samples
         FROM part, LATERAL (SELECT source, count(*) AS samples FROM training_sample_rows s
                              WHERE s.log_partition = part.log_partition AND s.log_offset >= part.next_offset GROUP BY 1) later)
SELECT coalesce(sum(samples), 0)::int AS samples,
       coalesce(sum(samples) FILTER (WHERE source = 'human'), 0)::int AS by_people,
       coalesce(sum(samples) FILTER (WHERE source <> 'human'), 0)::int AS automatic
  FROM counts`;

/** Whether a sample lies below the offsets that the version consumed. */
const IN_DATA_SET = '($1::jsonb ->> s.log_partition::text)::bigint > s.log_offset';

/** Whether the conversation is drawn and still waits: showing its sample would reveal that it is an audit. */
const BLIND = 'EXISTS (SELECT FROM review_queue q WHERE q.conversation_id = s.conversation_id AND q.drawn)';

async function lineage(rows: Query, model: Row, limit: number, after: string | undefined): Promise<object> {
  const consumed = model['consumed'] as Readonly<Record<string, number>>;
  const [partition = -1, offset = -1] = (after ?? '').split('/').filter(Boolean).map(Number);
  const [run] = await rows(`SELECT ${RUN_ROW} FROM training_runs WHERE run_id = $1`, [model['run_id']]);
  const [counts] = await rows(STANDING, [JSON.stringify(consumed)]);
  const samples = await rows(
    `SELECT s.conversation_id, s.text, s.language, s.intent, s.module_type AS module, s.source, s.approved_at,
            s.log_partition AS partition, s.log_offset::float8 AS "offset", s.model_version_target AS first_used_by,
            CASE WHEN c.verdict IS NULL THEN NULL ELSE jsonb_build_object(
              'verdict', c.verdict, 'corrected_intent', c.corrected_intent, 'corrected_module', c.corrected_module,
              'reviewer', c.reviewer, 'reviewed_at', c.reviewed_at) END AS review
       FROM training_samples s LEFT JOIN conversation_logs c USING (conversation_id)
      WHERE ${IN_DATA_SET} AND (s.log_partition, s.log_offset) > ($2, $3) AND NOT ${BLIND}
      ORDER BY s.log_partition, s.log_offset LIMIT $4`,
    [JSON.stringify(consumed), partition, offset, limit],
  );
  const last = samples.length === limit ? samples.at(-1) : undefined;
  return {
    version: model['version'],
    parent_version: model['parent_version'],
    artifact_sha256: model['artifact_sha256'],
    run: run ?? null,
    data_set: {
      sha256: model['data_set_sha256'],
      training_samples: model['training_samples'],
      ranges: Object.entries(consumed)
        .map(([number, to]) => ({ topic: 'training-samples', partition: Number(number), from: 0, to }))
        .sort((a, b) => a.partition - b.partition),
    },
    standing_today: counts,
    samples,
    next: last ? `${String(last['partition'])}/${String(last['offset'])}` : null,
  };
}
