/** The built-in scheduler: runs the daily and the weekly job at their times, or later when they were missed. Of several schedulers, one leads. */
import { addDays, dayOf } from '../kpi/day.ts';
import { leadingService } from '../runtime/leading-service.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { topics } from '../topology.ts';
import { modelLogAccess } from '../trainer/model-log.ts';
import { CLOSING_ID, readClosedDays } from './closed-days.ts';
import { runDaily } from './daily.ts';
import { failedIn, runAgain } from './steps.ts';
import { keepTimes } from './timetable.ts';
import type { TimedJob } from './timetable.ts';
import { missedWeekly, runWeekly } from './weekly.ts';

/** Pauses before a daily job with a failed step is repeated. Completed work is not done twice. */
const AGAIN_MS = [60_000, 300_000, 1_200_000];

/** The service. */
export const scheduler = leadingService({
  name: 'scheduler',
  does: 'runs the daily and the weekly job at their times',
  access: {
    reads: [...modelLogAccess.reads, topics.approvedSampleCounts, topics.dailyReports],
    writes: [...modelLogAccess.writes, topics.dailyReports, topics.reviews],
    transactionalIds: [...modelLogAccess.transactionalIds, CLOSING_ID],
    watchesProgress: true,
  },
  topic: topics.dailyReports.name,
  counters: ['daily', 'weekly', 'failures'],
  progress: ({ daily, weekly }) => daily + weekly,
  lead,
});

async function lead(
  context: ServiceContext,
  signal: AbortSignal,
  stats: Record<'daily' | 'weekly' | 'failures', number>,
): Promise<void> {
  const { log, pool, config } = context;
  const daily: TimedJob<'daily'> = {
    name: 'daily',
    at: config.jobs.daily,
    missed: async (time) => !(await readClosedDays(context)).has(addDays(dayOf(time), -1)),
    async run() {
      const run = async () => (await runDaily(context, { now: Date.now() })).steps;
      const failed = failedIn(await runAgain(run, AGAIN_MS, signal));
      if (failed.length > 0) throw new Error(`These steps failed: ${failed.join(', ')}.`);
    },
  };
  const weekly: TimedJob<'weekly'> = {
    name: 'weekly',
    at: config.jobs.weekly,
    missed: (time) => missedWeekly(pool, time, Date.now()),
    async run() {
      const { said } = await runWeekly(context, { now: Date.now() });
      log.info({ did: said }, 'weekly job done');
    },
  };
  await keepTimes([daily, weekly], {
    signal,
    log,
    ended(job, failed) {
      stats[job]++;
      if (failed) stats.failures++;
    },
  });
}
