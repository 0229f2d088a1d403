/** The built-in scheduler: the daily and the weekly job at their times. Any number may run; one leads. */
import { Cron } from 'croner';
import { addDays, dayOf } from '../kpi/day.ts';
import { leadingService } from '../runtime/leading-service.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { untilAborted } from '../runtime/sessions.ts';
import { topics } from '../topology.ts';
import { readClosedDays } from './closed-days.ts';
import { runDaily } from './daily.ts';
import { failedIn, runAgain } from './steps.ts';
import { runWeekly } from './weekly.ts';

/** A daily job with a failed step is run again after so long, three times at most; what was done is not done twice. */
const AGAIN_MS = [60_000, 300_000, 1_200_000];

/** The service. */
export const scheduler = leadingService({
  name: 'scheduler',
  does: 'runs the daily and the weekly job at their times',
  topic: topics.dailyReports.name,
  counters: ['daily', 'weekly', 'failures'],
  progress: ({ daily, weekly }) => daily + weekly,
  lead,
});

/** One job at a time: the weekly one waits for the daily one. */
async function lead(
  context: ServiceContext,
  signal: AbortSignal,
  stats: Record<'daily' | 'weekly' | 'failures', number>,
): Promise<void> {
  let busy: Promise<void> = Promise.resolve();
  const queue = (name: 'daily' | 'weekly', job: () => Promise<void>) => {
    busy = busy.then(async () => {
      if (signal.aborted) return;
      context.log.info({ job: name }, 'job begins');
      await job().catch((error: unknown) => {
        stats.failures++;
        context.log.error({ job: name, error: String(error) }, 'job failed');
      });
      stats[name]++;
    });
  };
  const daily = async () => {
    const run = async () => (await runDaily(context, { now: Date.now() })).steps;
    const failed = failedIn(await runAgain(run, AGAIN_MS, signal));
    if (failed.length > 0) throw new Error(`These steps failed: ${failed.join(', ')}.`);
  };
  const weekly = async () => context.log.info({ did: await runWeekly(context) }, 'weekly job done');
  const { daily: dailyAt, weekly: weeklyAt } = context.config.jobs;
  if (await missed(context, dailyAt)) queue('daily', daily);
  const crons = [
    new Cron(dailyAt, { timezone: 'UTC' }, () => queue('daily', daily)),
    new Cron(weeklyAt, { timezone: 'UTC' }, () => queue('weekly', weekly)),
  ];
  await untilAborted(signal);
  for (const cron of crons) cron.stop();
  await busy;
}

/** Whether the last time of the daily job went by without closing its day, because nobody led then. */
async function missed(context: ServiceContext, dailyAt: string): Promise<boolean> {
  const [last] = new Cron(dailyAt, { timezone: 'UTC' }).previousRuns(1);
  return last !== undefined && !(await readClosedDays(context)).has(addDays(dayOf(last.getTime()), -1));
}
