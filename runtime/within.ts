/** A time limit for work that may never finish. */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * The limit is counted in steps. Timers expire while a process is stopped, and after it resumes they fire before the results that have
 * arrived; so a pause counts as one step at most.
 */
const STEP_MS = 1000;

/** The result of `work`; after `ms` milliseconds it throws `late()` instead and ignores the work's outcome. */
export async function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const inTime = new AbortController();
  const limit = (async () => {
    for (let left = ms; left > 0; left -= STEP_MS)
      await sleep(Math.min(left, STEP_MS), undefined, { signal: inTime.signal });
    throw late();
  })();
  try {
    return await Promise.race([work, limit]);
  } finally {
    inTime.abort();
    limit.catch(() => undefined);
    work.catch(() => undefined);
  }
}
