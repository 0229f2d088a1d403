/**
 * The daily job. It waits until the pipeline is past what has come, measures the accuracy in production, syncs with Label
 * Studio, looks at the training threshold, and closes each day that is over and has no report yet. A closed day is in the
 * log; its files are written from there, so that they are the same bytes on every run and every machine.
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
import { closeDay, readClosedDays } from './closed-days.ts';
import { dailyPage } from './daily-page.ts';
import { conversationsTold, readDailyReport } from './daily-report.ts';
import type { DailyReport } from './daily-report.ts';
import { runSteps } from './steps.ts';
import type { StepResult } from './steps.ts';
import { progressInWords, progressOf } from './training-progress.ts';
import type { TrainingProgress } from './training-progress.ts';

/** Days that a run makes up at most. */
const MAKE_UP_DAYS = 31;

/** A day that can't be closed, as a sentence for whoever asked. */
export class DayNotOver extends Error {
  override readonly name = 'DayNotOver';
}

/** How the job is run. */
export interface DailyOptions {
  /** Only this day. All that are due where absent. */
  readonly day?: Day;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Exchanges tasks and answers with Label Studio, and tells what it did. A full synchronisation where absent. */
  readonly labelStudio?: () => Promise<string>;
}

/**
 * Runs the job and tells what became of each step.
 * @throws DayNotOver when `day` is today or later: its conversations may still come.
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
      { name: 'training threshold', run: async () => progressInWords(await trainingProgress(context)) },
      {
        name: 'reports',
        run: async () => {
          const closed = new Map(await readClosedDays(context));
          const due = day === undefined ? daysDue(closed, await firstDay(context.pool), today) : [day];
          const open = due.filter((one) => !closed.has(one));
          if (open.length > 0 && !caughtUp)
            throw new Error(
              `The pipeline has not caught up, so ${open.join(', ')} stays open; the next run makes it up.`,
            );
          for (const one of due) {
            const event = closed.get(one) ?? (await closeDay(context, await makeReport(context, one, now, closed)));
            closed.set(one, event);
            await writeFiles(context.config.jobs.reports, event);
          }
          days = due;
          if (due.length === 0) return 'No day with traffic is over yet, so there is none to close.';
          return `${due.join(', ')}: ${open.length} closed now; files in ${context.config.jobs.reports}.`;
        },
      },
    ],
    context.log,
  );
  return { days, steps };
}

/** The days that have no report yet, since the first one with traffic; from then on yesterday always, so that its files are there. */
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

async function makeReport(
  context: ServiceContext,
  day: Day,
  closedAt: number,
  closed: ReadonlyMap<Day, DayClosed>,
): Promise<DayClosed> {
  const report = await readDailyReport(context.pool, day, {
    closedAt,
    training: await trainingProgress(context),
    told: conversationsTold([...closed.values()].map((one) => JSON.parse(one.report) as DailyReport)),
  });
  return { day, closed_at: closedAt, report: `${JSON.stringify(report, null, 2)}\n` };
}
