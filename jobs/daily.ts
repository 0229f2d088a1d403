/**
 * The daily job. It waits until the pipeline has caught up, measures the accuracy in production, syncs with Label Studio, checks the
 * training threshold, and closes each day that is over and has no report yet. Reports are in the log; their files are written from
 * there, so that they are identical on every run and every machine.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Pool } from 'pg';
import { addDays, dayOf } from '../kpi/day.ts';
import type { Day } from '../kpi/day.ts';
import { accuracyRange, readAccuracy } from '../kpi/read-accuracy.ts';
import { syncInWords } from '../label-studio/label-studio.ts';
import { replaceFile } from '../runtime/replace-file.ts';
import type { ServiceContext } from '../runtime/service.ts';
import type { DayClosed } from '../schemas/types.ts';
import { countUnused } from '../trainer/ask-for-run.ts';
import { openModelLog } from '../trainer/model-log.ts';
import { recordAccuracy } from '../trainer/rollout/measure.ts';
import { closeDays, readClosedDays } from './closed-days.ts';
import type { ClosedDays } from './closed-days.ts';
import { dailyPage } from './daily-page.ts';
import { conversationsTold, readDailyReport } from './daily-report.ts';
import type { DailyReport } from './daily-report.ts';
import { runSteps } from './steps.ts';
import type { StepResult } from './steps.ts';
import { progressInWords, progressOf } from './training-progress.ts';
import type { TrainingProgress } from './training-progress.ts';

/** At most this many days before today are closed in a run. */
const MAKE_UP_DAYS = 31;

/** A day that can't be closed yet. The message tells the user why. */
export class DayNotOver extends Error {
  override readonly name = 'DayNotOver';
}

/** How the job is run. */
export interface DailyOptions {
  /** Only this day. By default all that are due. */
  readonly day?: Day;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Exchanges tasks and answers with Label Studio; returns a sentence on what it did. By default a full synchronisation. */
  readonly labelStudio?: () => Promise<string>;
}

/**
 * Runs the job and returns the outcome of each step.
 * @throws DayNotOver when `day` is today or later, because conversations of that day may still arrive.
 */
export async function runDaily(
  context: ServiceContext,
  { day, now, labelStudio = () => syncInWords(context) }: DailyOptions,
): Promise<{ readonly days: readonly Day[]; readonly steps: readonly StepResult[] }> {
  const today = dayOf(now);
  if (day !== undefined && day >= today)
    throw new DayNotOver(
      `${day} is not over (days are of UTC, and today is ${today}); it can be closed from tomorrow on.`,
    );
  let days: readonly Day[] = [];
  let caughtUp = false;
  let training: TrainingProgress | undefined;
  const steps = await runSteps(
    [
      {
        name: 'catch up',
        run: async () => {
          await context.untilPassed();
          caughtUp = true;
          return 'Every table has what had come when the job began.';
        },
      },
      {
        name: 'measure accuracy',
        run: () => {
          if (!caughtUp) throw new Error('The pipeline has not caught up, so nothing is measured; the next run does.');
          return measure(context, addDays(today, -1), now);
        },
      },
      { name: 'label studio', run: labelStudio },
      {
        name: 'training threshold',
        run: async () => {
          training = await trainingProgress(context);
          return progressInWords(training);
        },
      },
      {
        name: 'reports',
        run: async () => {
          const progress = async () => (training ??= await trainingProgress(context));
          const due = await closeDue(context, { day, now, caughtUp, progress });
          days = due.days;
          if (days.length === 0) return 'No day with traffic is over yet, so there is none to close.';
          return `${days.join(', ')}: ${due.open} closed now; files in ${context.config.jobs.reports}.`;
        },
      },
    ],
    context.log,
  );
  return { days, steps };
}

/** Closes `day`, or all days that are due, and writes their files. Returns these days, and how many of them were open. */
async function closeDue(
  context: ServiceContext,
  { day, now, caughtUp, progress }: DueOptions,
): Promise<{ readonly days: readonly Day[]; readonly open: number }> {
  const { pool, config } = context;
  const closed = await readClosedDays(context);
  const days = day === undefined ? daysDue(closed, await firstDay(pool), dayOf(now)) : [day];
  const open = days.filter((one) => !closed.has(one));
  if (open.length > 0 && !caughtUp)
    throw new Error(`The pipeline has not caught up, so ${open.join(', ')} stays open; the next run makes it up.`);
  const make = async (these: readonly Day[], known: ClosedDays) =>
    makeReports(pool, these, known, now, await progress());
  const all = await closeDays(context, closed, days, make);
  for (const event of days.flatMap((one) => all.get(one) ?? [])) await writeFiles(config.jobs.reports, event);
  return { days, open: open.length };
}

interface DueOptions extends Pick<DailyOptions, 'now'> {
  readonly day: Day | undefined;
  readonly caughtUp: boolean;
  readonly progress: () => Promise<TrainingProgress>;
}

/** The days without a report since the first one with traffic. Yesterday is always included, so that its files are written. */
export function daysDue(closed: ReadonlyMap<Day, unknown>, first: Day | null, today: Day): readonly Day[] {
  const yesterday = addDays(today, -1);
  const oldest = addDays(today, -MAKE_UP_DAYS);
  const due: Day[] = [];
  for (let day = first === null || first < oldest ? oldest : first; day < yesterday; day = addDays(day, 1))
    if (first !== null && !closed.has(day)) due.push(day);
  return first === null || first > yesterday ? [] : [...due, yesterday];
}

async function firstDay(pool: Pick<Pool, 'query'>): Promise<Day | null> {
  const { rows } = await pool.query<{ first: Date | null }>('SELECT min(created_at) AS first FROM conversation_logs');
  return rows[0]?.first ? dayOf(rows[0].first.getTime()) : null;
}

async function measure(context: ServiceContext, day: Day, now: number): Promise<string> {
  const report = await readAccuracy(context.pool, accuracyRange(day));
  const log = await openModelLog(context.kafka, context.codecs);
  const versions = await recordAccuracy(log, report, { by: 'daily job', at: now }).finally(() => log.close());
  if (versions.length === 0) return 'The figure of no version has changed.';
  await context.untilPassed();
  return `The figures of ${versions.join(', ')} have changed.`;
}

async function trainingProgress(context: ServiceContext): Promise<TrainingProgress> {
  const log = await openModelLog(context.kafka, context.codecs);
  try {
    const { total } = await countUnused(context, log);
    return progressOf(await log.read(), total, context.config.training.threshold);
  } finally {
    await log.close();
  }
}

/** The report of a closed day as JSON, and as a page made from it. */
async function writeFiles(folder: string, { day, report }: DayClosed): Promise<void> {
  await mkdir(folder, { recursive: true });
  await replaceFile(path.join(folder, `daily-report-${day}.json`), report);
  await replaceFile(path.join(folder, `daily-report-${day}.html`), dailyPage(JSON.parse(report) as DailyReport));
}

/** Reports on `days` in order, each of which takes into account those before it. */
async function makeReports(
  pool: ServiceContext['pool'],
  days: readonly Day[],
  closed: ClosedDays,
  closedAt: number,
  training: TrainingProgress,
): Promise<readonly DayClosed[]> {
  const reports = [...closed.values()].map(({ report }) => JSON.parse(report) as DailyReport);
  const made: DayClosed[] = [];
  for (const day of days) {
    const report = await readDailyReport(pool, day, { closedAt, training, told: conversationsTold(reports) });
    reports.push(report);
    made.push({ day, closed_at: closedAt, report: `${JSON.stringify(report, null, 2)}\n` });
  }
  return made;
}
