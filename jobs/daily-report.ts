/** The report on one day, as values: what came, what people did, where everything stands. */
import type { Pool } from 'pg';
import { addDays } from '../kpi/day.ts';
import type { Day } from '../kpi/day.ts';
import { accuracyRange, readAccuracy } from '../kpi/read-accuracy.ts';
import type { AccuracyReport } from '../kpi/read-accuracy.ts';
import { readKpis } from '../kpi/read-kpis.ts';
import type { KpiList } from '../kpi/read-kpis.ts';
import type { Agreement } from '../policy/agreement.ts';

/** Conversations of a day by some label. Shares are 0 to 1. */
export interface DaySlice {
  readonly name: string;
  readonly conversations: number;
  readonly auto_approval_rate: number;
  readonly average_confidence: number | null;
}

/** How near the next training is. */
export interface TrainingProgress {
  /** Approved samples that no run was asked for yet. */
  readonly unused: number;
  readonly threshold: number;
}

/** The report; JSON.stringify gives the file. */
export interface DailyReport {
  readonly day: Day;
  readonly time_zone: 'UTC';
  /** The day by event time, RFC 3339: from, inclusive, to, exclusive. */
  readonly from: string;
  readonly to: string;
  readonly closed_at: string;
  /** The day's row of `daily_training_stats`. */
  readonly conversations: {
    readonly conversations: number;
    readonly auto_approved: number;
    readonly needs_review: number;
    readonly priority_review: number;
    readonly llm_fallbacks: number;
    readonly auto_approval_rate: number | null;
    readonly average_confidence: number | null;
    readonly training_samples: number;
    /** Answers given on the day, whatever day the conversation is of, and the hours that they took. */
    readonly reviews: number;
    readonly review_hours: number;
  };
  readonly modules: readonly DaySlice[];
  readonly languages: readonly DaySlice[];
  /** The intents with most conversations for people. */
  readonly doubtful_intents: readonly DaySlice[];
  readonly training: TrainingProgress & { readonly reached: boolean };
  readonly accuracy: Pick<AccuracyReport, 'from' | 'to' | 'all' | 'versions'> & {
    /** Of all pairs of reviewers, without their names. Reports from before 26 November 2026 have none. */
    readonly agreement?: Agreement;
  };
  readonly kpis: KpiList['kpis'];
  /** Earlier days whose reports were made before some of their conversations came. */
  readonly late: readonly { readonly day: Day; readonly conversations: number }[];
}

/** What the report takes besides the tables. */
export interface ReportInputs {
  readonly closedAt: number;
  readonly training: TrainingProgress;
  /** Conversations that earlier reports counted, by day. */
  readonly earlier: ReadonlyMap<Day, number>;
}

/** Days that the report looks back for late conversations. */
const LATE_DAYS = 7;

/** Makes the report from the tables as they are. */
export async function readDailyReport(
  pool: Pick<Pool, 'query'>,
  day: Day,
  { closedAt, training, earlier }: ReportInputs,
): Promise<DailyReport> {
  const { from, to, all, versions, agreement } = await readAccuracy(pool, accuracyRange(day));
  const { pairs, observed, kappa, standardError } = agreement;
  return {
    day,
    time_zone: 'UTC',
    from: `${day}T00:00:00Z`,
    to: `${addDays(day, 1)}T00:00:00Z`,
    closed_at: new Date(closedAt).toISOString(),
    conversations: await readStats(pool, day),
    modules: await readSlices(pool, day, 'nlu_module', 'count(*) DESC'),
    languages: await readSlices(pool, day, 'language', 'count(*) DESC'),
    doubtful_intents: (
      await readSlices(
        pool,
        day,
        "nlu_module || '/' || nlu_intent",
        "count(*) FILTER (WHERE route <> 'auto-approved') DESC",
      )
    ).slice(0, 10),
    training: { ...training, reached: training.unused >= training.threshold },
    accuracy: { from, to, all, versions, agreement: { pairs, observed, kappa, standardError } },
    kpis: (await readKpis(pool, day)).kpis,
    late: await readLate(pool, day, earlier),
  };
}

async function readStats(pool: Pick<Pool, 'query'>, day: Day): Promise<DailyReport['conversations']> {
  const { rows } = await pool.query<DailyReport['conversations']>(
    `SELECT conversations::int, auto_approved::int, needs_review::int, priority_review::int, llm_fallbacks::int,
            auto_approval_rate::float8, average_confidence::float8, training_samples::int, reviews::int, review_hours::float8
       FROM daily_training_stats WHERE date = $1::date`,
    [day],
  );
  const { rows: effort } = await pool.query<{ reviews: number; review_hours: number }>(
    'SELECT reviews::int, review_hours::float8 FROM daily_review_effort WHERE date = $1::date',
    [day],
  );
  return (
    rows[0] ?? {
      conversations: 0,
      auto_approved: 0,
      needs_review: 0,
      priority_review: 0,
      llm_fallbacks: 0,
      auto_approval_rate: null,
      average_confidence: null,
      training_samples: 0,
      ...(effort[0] ?? { reviews: 0, review_hours: 0 }),
    }
  );
}

async function readSlices(pool: Pick<Pool, 'query'>, day: Day, name: string, order: string): Promise<DaySlice[]> {
  const { rows } = await pool.query<DaySlice>(
    `SELECT ${name} AS name, count(*)::int AS conversations,
            round(avg((route = 'auto-approved')::int), 4)::float8 AS auto_approval_rate,
            round(avg(nlu_confidence)::numeric, 4)::float8 AS average_confidence
       FROM conversation_logs
      WHERE created_at >= $1::timestamp AT TIME ZONE 'UTC' AND created_at < $2::timestamp AT TIME ZONE 'UTC'
      GROUP BY 1 ORDER BY ${order}, 1`,
    [day, addDays(day, 1)],
  );
  return rows;
}

async function readLate(
  pool: Pick<Pool, 'query'>,
  day: Day,
  earlier: ReadonlyMap<Day, number>,
): Promise<DailyReport['late']> {
  const { rows } = await pool.query<{ day: Day; conversations: number }>(
    `SELECT date::text AS day, conversations::int FROM daily_training_stats
      WHERE date >= $1::date AND date < $2::date ORDER BY date`,
    [addDays(day, -LATE_DAYS), day],
  );
  return rows.flatMap(({ day: before, conversations }) => {
    const reported = earlier.get(before);
    return reported === undefined || conversations <= reported
      ? []
      : [{ day: before, conversations: conversations - reported }];
  });
}
