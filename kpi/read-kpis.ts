/** Reads the key figures from Postgres: the same numbers as the view `daily_training_stats`, over seven days. */
import type { Pool } from 'pg';
import { kpisOf, targetsOf } from '../policy/kpis.ts';
import type { Figure, Kpi, KpiFigures } from '../policy/kpis.ts';
import { addDays, DAY_MS, dayOf } from './day.ts';
import type { Day } from './day.ts';

/** Days in the window of a rate. */
const WINDOW_DAYS = 7;

/** The key figures of a window of days. */
export interface KpiList {
  /** First and last day of the window. */
  readonly from: Day;
  readonly to: Day;
  readonly kpis: readonly Kpi[];
}

/**
 * Key figures of the seven days that end with `day`, from the tables as they are now. Queue and versions are the
 * current ones. Before `day` has ended, the previous week is cut off at the same time of its last day.
 */
export async function readKpis(pool: Pick<Pool, 'query'>, day: Day, time = Date.now()): Promise<KpiList> {
  const weeks = [addDays(day, 1 - 2 * WINDOW_DAYS), addDays(day, 1 - WINDOW_DAYS), addDays(day, 1)] as const;
  const weekAgo = new Date(time - WINDOW_DAYS * DAY_MS).toISOString().slice(0, -1); // the format of `weeks`, without a time zone
  const earlierEnd = dayOf(time) === day ? weekAgo : weeks[1];
  const [earlier, now] = [await readWeek(pool, weeks[0], earlierEnd), await readWeek(pool, weeks[1], weeks[2])];
  const figures: KpiFigures = {
    autoApprovalRate: { value: now.auto, before: earlier.auto },
    averageConfidence: { value: now.confidence, before: earlier.confidence },
    fallbackRate: { value: now.fallback, before: earlier.fallback },
    reviewHours: { value: now.hours, before: earlier.hours },
    queue: await readQueue(pool, earlierEnd, weeks[2]),
    ...(await readVersions(pool)),
    trainingInterval: await readTraining(pool, weeks[2]),
    approvedSamples: await readSamples(pool),
  };
  return { from: weeks[1], to: day, kpis: kpisOf(figures) };
}

interface Week {
  readonly auto: number | null;
  readonly confidence: number | null;
  readonly fallback: number | null;
  /** Null when there were no conversations before its end. */
  readonly hours: number | null;
}

/** Reads the figures of a range; both ends are a day or a UTC time without a zone. */
async function readWeek(pool: Pick<Pool, 'query'>, from: string, to: string): Promise<Week> {
  const { rows } = await pool.query<Week>(
    `SELECT avg((route = 'auto-approved')::int)::float8 AS auto, avg(nlu_confidence)::float8 AS confidence,
            avg((nlu_provider = 'llm')::int)::float8 AS fallback,
            (SELECT coalesce(sum(ms) / 3600000.0,
                             CASE WHEN EXISTS (SELECT FROM conversation_logs WHERE created_at < $2::timestamp AT TIME ZONE 'UTC') THEN 0 END)::float8
               FROM review_effort
              WHERE reviewed_at >= $1::timestamp AT TIME ZONE 'UTC' AND reviewed_at < $2::timestamp AT TIME ZONE 'UTC') AS hours
       FROM conversation_logs
      WHERE created_at >= $1::timestamp AT TIME ZONE 'UTC' AND created_at < $2::timestamp AT TIME ZONE 'UTC'`,
    [from, to],
  );
  return rows[0] ?? { auto: null, confidence: null, fallback: null, hours: null };
}

/**
 * Conversations before `to` that wait for their first answer now, and the number that waited at `from`: those that
 * still wait plus those answered since.
 */
async function readQueue(pool: Pick<Pool, 'query'>, from: string, to: Day): Promise<Figure> {
  const { rows } = await pool.query<{ value: number; before: number | null }>(
    `SELECT (SELECT count(*)::int FROM review_queue WHERE answered_by = '[]' AND created_at < $2::timestamp AT TIME ZONE 'UTC') AS value,
            CASE WHEN EXISTS (SELECT FROM conversation_logs WHERE created_at < $1::timestamp AT TIME ZONE 'UTC') THEN
              (SELECT count(*)::int FROM review_queue WHERE answered_by = '[]' AND created_at < $1::timestamp AT TIME ZONE 'UTC')
              + (SELECT count(*)::int FROM conversation_logs
                  WHERE created_at < $1::timestamp AT TIME ZONE 'UTC' AND reviewed_at >= $1::timestamp AT TIME ZONE 'UTC'
                    AND (route <> 'auto-approved' OR audit))
            END AS before`,
    [from, to],
  );
  return rows[0] ?? { value: 0, before: null };
}

/** The version in production and the one before it, by when each last took over production. */
async function readVersions(
  pool: Pick<Pool, 'query'>,
): Promise<Pick<KpiFigures, 'testAccuracy' | 'productionGap' | 'improvement'>> {
  const { rows } = await pool.query<{ test_accuracy: number | null; production_gap: number | null }>(
    `SELECT test_accuracy, production_accuracy - test_accuracy AS production_gap
       FROM model_versions
      WHERE status IN ('production', 'retired')
      ORDER BY status = 'production' DESC,
               (SELECT max(log_offset) FROM model_deployments d WHERE d.version = model_versions.version AND d.status = 'production') DESC NULLS LAST
      LIMIT 3`,
  );
  const [current, previous, older] = rows;
  const gain = (a: typeof current, b: typeof current) =>
    a?.test_accuracy == null || b?.test_accuracy == null ? null : a.test_accuracy - b.test_accuracy;
  return {
    testAccuracy: { value: current?.test_accuracy ?? null, before: previous?.test_accuracy ?? null },
    productionGap: { value: current?.production_gap ?? null, before: previous?.production_gap ?? null },
    improvement: { value: gain(current, previous), before: gain(previous, older) },
  };
}

/**
 * Days between trainings that ended before `to`. After a single training, the time since it is used once it exceeds the
 * minimum target.
 */
async function readTraining(pool: Pick<Pool, 'query'>, to: Day): Promise<Figure> {
  const { rows } = await pool.query<{ since: number; gap: number | null }>(
    `SELECT extract(epoch FROM least(now(), $1::timestamp AT TIME ZONE 'UTC') - finished_at)::float8 / 86400 AS since,
            extract(epoch FROM finished_at - lag(finished_at) OVER (ORDER BY finished_at))::float8 / 86400 AS gap
       FROM training_runs
      WHERE status = 'finished' AND finished_at < $1::timestamp AT TIME ZONE 'UTC'
      ORDER BY finished_at DESC LIMIT 2`,
    [to],
  );
  const [last, before] = rows;
  const days = last && Math.max(last.since, last.gap ?? 0);
  const known = days !== undefined && (last?.gap != null || days >= targetsOf(0).trainingInterval.min);
  return { value: known ? days : null, before: before?.gap ?? null };
}

async function readSamples(pool: Pick<Pool, 'query'>): Promise<number> {
  const { rows } = await pool.query<{ samples: number }>(
    "SELECT coalesce(sum(rows), 0)::int AS samples FROM row_counts WHERE relation = 'samples'",
  );
  return rows[0]?.samples ?? 0;
}
