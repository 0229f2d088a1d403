/** The report on one day as values: traffic, reviews, training and key figures. */
import type { Pool } from 'pg';
import { addDays } from '../kpi/day.ts';
import type { Day } from '../kpi/day.ts';
import { accuracyRange, readAccuracy } from '../kpi/read-accuracy.ts';
import type { AccuracyReport } from '../kpi/read-accuracy.ts';
import { readKpis } from '../kpi/read-kpis.ts';
import type { KpiList } from '../kpi/read-kpis.ts';
import type { Agreement } from '../policy/agreement.ts';
import type { TrainingProgress } from './training-progress.ts';

/** At most this many slices of a kind, those with most conversations: a report is one record, which must fit the broker's limit. */
const MAX_SLICES = 100;
const MAX_DOUBTFUL = 10;

/** Conversations of a day with one label. Shares are 0 to 1. */
export interface DaySlice {
  readonly name: string;
  readonly conversations: number;
  readonly auto_approval_rate: number;
  readonly average_confidence: number | null;
}

/** The report; JSON.stringify gives the file. */
export interface DailyReport {
  readonly day: Day;
  readonly time_zone: 'UTC';
  /** The day by event time, RFC 3339: from, inclusive, to, exclusive. */
  readonly from: string;
  readonly to: string;
  readonly closed_at: string;
  /** The day's row of `daily_training_stats`, except for the samples. */
  readonly conversations: {
    readonly conversations: number;
    readonly auto_approved: number;
    readonly needs_review: number;
    readonly priority_review: number;
    readonly llm_fallbacks: number;
    readonly auto_approval_rate: number | null;
    readonly average_confidence: number | null;
    /** Samples that were approved on the day and are still approved, of conversations of any day. */
    readonly training_samples: number;
    /** Answers given on the day, to conversations of any day, and the hours that they took. */
    readonly reviews: number;
    readonly review_hours: number;
  };
  readonly modules: readonly DaySlice[];
  readonly languages: readonly DaySlice[];
  /** The intents with the most conversations for people. */
  readonly doubtful_intents: readonly DaySlice[];
  readonly training: TrainingProgress;
  readonly accuracy: Pick<AccuracyReport, 'from' | 'to' | 'all' | 'versions'> & {
    /** Over all pairs of reviewers, without their names. */
    readonly agreement: Agreement;
  };
  readonly kpis: KpiList['kpis'];
  /** Earlier days, with the number of their conversations that arrived after all reports that count them. */
  readonly late: readonly { readonly day: Day; readonly conversations: number }[];
}

/** Inputs of the report besides the tables. */
export interface ReportInputs {
  readonly closedAt: number;
  readonly training: TrainingProgress;
  /** Conversations that other reports count, by day. */
  readonly told: ReadonlyMap<Day, number>;
}

/** Conversations that reports count, by day: in the day's own report, and under `late` in later ones. */
export function conversationsTold(reports: readonly DailyReport[]): ReadonlyMap<Day, number> {
  const told = new Map(reports.map(({ day, conversations }) => [day, conversations.conversations]));
  for (const { day, conversations } of reports.flatMap(({ late }) => late))
    told.set(day, (told.get(day) ?? 0) + conversations);
  return told;
}

/** Makes the report from the current tables. */
export async function readDailyReport(
  pool: Pick<Pool, 'query'>,
  day: Day,
  { closedAt, training, told }: ReportInputs,
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
    modules: await readSlices(pool, day, 'nlu_module', 'count(*) DESC', MAX_SLICES),
    languages: await readSlices(pool, day, 'language', 'count(*) DESC', MAX_SLICES),
    doubtful_intents: await readSlices(
      pool,
      day,
      "nlu_module || '/' || nlu_intent",
      "count(*) FILTER (WHERE route <> 'auto-approved') DESC",
      MAX_DOUBTFUL,
    ),
    training,
    accuracy: {
      from,
      to,
      all,
      versions: versions.slice(0, MAX_SLICES),
      agreement: { pairs, observed, kappa, standardError },
    },
    kpis: (await readKpis(pool, day)).kpis,
    late: await readLate(pool, day, told),
  };
}

async function readStats(pool: Pick<Pool, 'query'>, day: Day): Promise<DailyReport['conversations']> {
  const { rows: stats } = await pool.query<Omit<DailyReport['conversations'], 'training_samples'>>(
    `SELECT conversations::int, auto_approved::int, needs_review::int, priority_review::int, llm_fallbacks::int,
            auto_approval_rate::float8, average_confidence::float8, reviews::int, review_hours::float8
       FROM daily_training_stats WHERE date = $1::date`,
    [day],
  );
  const { rows: samples } = await pool.query<{ approved: number }>(
    `SELECT count(*)::int AS approved FROM training_sample_rows
      WHERE approved_at >= $1::timestamp AT TIME ZONE 'UTC' AND approved_at < $2::timestamp AT TIME ZONE 'UTC'`,
    [day, addDays(day, 1)],
  );
  const { reviews, review_hours, ...conversations } = stats[0] ?? QUIET_DAY;
  return { ...conversations, training_samples: samples[0]?.approved ?? 0, reviews, review_hours };
}

const QUIET_DAY = {
  conversations: 0,
  auto_approved: 0,
  needs_review: 0,
  priority_review: 0,
  llm_fallbacks: 0,
  auto_approval_rate: null,
  average_confidence: null,
  reviews: 0,
  review_hours: 0,
};

async function readSlices(
  pool: Pick<Pool, 'query'>,
  day: Day,
  name: string,
  order: string,
  most: number,
): Promise<DaySlice[]> {
  const { rows } = await pool.query<DaySlice>(
    `SELECT ${name} AS name, count(*)::int AS conversations,
            round(avg((route = 'auto-approved')::int), 4)::float8 AS auto_approval_rate,
            round(avg(nlu_confidence)::numeric, 4)::float8 AS average_confidence
       FROM conversation_logs
      WHERE created_at >= $1::timestamp AT TIME ZONE 'UTC' AND created_at < $2::timestamp AT TIME ZONE 'UTC'
      GROUP BY 1 ORDER BY ${order}, 1 LIMIT $3`,
    [day, addDays(day, 1), most],
  );
  return rows;
}

async function readLate(
  pool: Pick<Pool, 'query'>,
  day: Day,
  told: ReadonlyMap<Day, number>,
): Promise<DailyReport['late']> {
  const { rows } = await pool.query<{ day: Day; conversations: number }>(
    `SELECT date::text AS day, conversations::int FROM daily_training_stats WHERE date < $1::date ORDER BY date`,
    [day],
  );
  return rows.flatMap(({ day: before, conversations }) => {
    const known = told.get(before) ?? conversations; // a day without a report will get one
    return conversations <= known ? [] : [{ day: before, conversations: conversations - known }];
  });
}
