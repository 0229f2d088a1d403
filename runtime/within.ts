/** A limit for work that may never come back. */
import { setTimeout as sleep } from 'node:timers/promises';

/** What `work` gives, or throws what `late` gives after `ms` milliseconds. Whatever becomes of the work then is not looked at. */
export async function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const inTime = new AbortController();
  const limit = sleep(ms, undefined, { signal: inTime.signal }).then(() => {
    throw late();
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    inTime.abort();
    limit.catch(() => undefined);
    work.catch(() => undefined);
  }
}
