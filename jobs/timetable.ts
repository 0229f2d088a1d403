/** Runs jobs at their times, one at a time, and runs missed ones later. */
import { Cron } from 'croner';
import type { Logger } from 'pino';
import { untilAborted } from '../runtime/sessions.ts';

/** A job with its times. */
export interface TimedJob<N extends string = string> {
  readonly name: N;
  /** Cron pattern, in UTC. */
  readonly at: string;
  /** Whether the job that was due at `time` (milliseconds since 1970) was not done. */
  readonly missed: (time: number) => Promise<boolean>;
  readonly run: () => Promise<void>;
}

/** The last time that a cron pattern names before `now`, in UTC and milliseconds since 1970; undefined when there is none. */
export function lastTime(pattern: string, now: number): number | undefined {
  return new Cron(pattern, { timezone: 'UTC', paused: true }).previousRuns(1, new Date(now))[0]?.getTime();
}

/**
 * Runs `jobs` at their times until the signal, then waits for the running job. Checks for missed jobs at the start and after each job, so
 * that a failed job is repeated after the next one. Calls `ended` after each.
 */
export async function keepTimes<N extends string>(
  jobs: readonly TimedJob<N>[],
  { signal, log, ended }: { signal: AbortSignal; log: Logger; ended: (job: N, failed: boolean) => void },
): Promise<void> {
  let busy: Promise<void> = Promise.resolve();
  const attempt = async (job: TimedJob<N>) => {
    if (signal.aborted) return;
    log.info({ job: job.name }, 'job begins');
    const failed = await job.run().then(
      () => false,
      (error: unknown) => {
        log.error({ job: job.name, error: String(error) }, 'job failed');
        return true;
      },
    );
    ended(job.name, failed);
  };
  const makeUp = async (others: readonly TimedJob<N>[]) => {
    for (const job of others) {
      const last = lastTime(job.at, Date.now());
      if (last === undefined || signal.aborted) continue;
      const missed = await job.missed(last).catch((error: unknown) => {
        log.warn({ job: job.name, error: String(error) }, 'can not see whether the job was missed; looks again later');
        return false;
      });
      if (missed) await attempt(job);
    }
  };
  busy = makeUp(jobs);
  const crons = jobs.map(
    (job) =>
      new Cron(job.at, { timezone: 'UTC' }, () => {
        busy = busy.then(() => attempt(job)).then(() => makeUp(jobs.filter((other) => other !== job)));
      }),
  );
  await untilAborted(signal);
  for (const cron of crons) cron.stop();
  await busy;
}
