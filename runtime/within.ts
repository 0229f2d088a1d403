/** A limit for work that may never come back. */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Time is counted in steps so long. While a process is stopped its timers go on, and on waking it hears of them before it hears of
 * what has come back meanwhile; so a pause counts one step at most.
 */
const STEP_MS = 1000;

/** What `work` gives, or throws what `late` gives after `ms` milliseconds. Whatever becomes of the work then is not looked at. */
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
