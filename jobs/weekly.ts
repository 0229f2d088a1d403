/** The weekly job: requests a training run when enough samples are unused. */
import type { Pool } from 'pg';
import type { ServiceContext } from '../runtime/service.ts';
import { aboutEnded, askForRun, countUnused } from '../trainer/ask-for-run.ts';
import { openModelLog } from '../trainer/model-log.ts';

/** How the job is run. */
export interface WeeklyOptions {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The requester's name in the log. */
  readonly by?: string;
  readonly fromScratch?: boolean;
}

/** What the job did. */
export interface WeeklyOutcome {
  /** The requested run, which a trainer carries out; undefined when too few samples are unused. */
  readonly run: string | undefined;
  /** What was done, as a sentence. */
  readonly said: string;
}

/** Requests the run once the pipeline has caught up, and records that this week's job is done. */
export async function runWeekly(
  context: ServiceContext,
  { now, by = 'scheduler', fromScratch = false }: WeeklyOptions,
): Promise<WeeklyOutcome> {
  await context.untilPassed();
  const log = await openModelLog(context.kafka, context.codecs);
  try {
    const atLeast = context.config.training.weeklyMinimum;
    const wish = { trigger: 'weekly', atLeast, fromScratch, by } as const;
    const asked = await askForRun(log, await countUnused(context, log), wish);
    await noteDone(context.pool, now);
    const { run, unused } = asked;
    const few = `${unused} approved samples are unused, and a run takes ${atLeast}.`;
    return { run, said: `${run === undefined ? few : `Asked for the run ${run}.`}${aboutEnded(asked)}` };
  } finally {
    await log.close();
  }
}

/**
 * Whether the job that was due at `time` was done neither then nor since. A job less than a day before `time` counts as done, because cron
 * on a machine east of UTC runs it earlier. Before the first call no job counts as missed. Times are in milliseconds since 1970.
 */
export async function missedWeekly(pool: Pick<Pool, 'query'>, time: number, now: number): Promise<boolean> {
  await pool.query('INSERT INTO weekly_job (done_at) VALUES ($1) ON CONFLICT DO NOTHING', [new Date(now)]);
  const { rows } = await pool.query<{ missed: boolean }>(
    "SELECT done_at < $1::timestamptz - interval '1 day' AS missed FROM weekly_job",
    [new Date(time)],
  );
  return rows[0]?.missed === true;
}

async function noteDone(pool: Pick<Pool, 'query'>, now: number): Promise<void> {
  await pool.query(
    `INSERT INTO weekly_job (done_at) VALUES ($1)
     ON CONFLICT (one) DO UPDATE SET done_at = greatest(weekly_job.done_at, excluded.done_at)`,
    [new Date(now)],
  );
}
