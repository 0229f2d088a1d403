/** Runs sessions one after another: the one way out of any failure that may pass is a new session. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;

/** A component that runs in the background. */
export interface Background {
  /** Ends when it was stopped; rejects when it met an error that a new session can't mend. */
  readonly finished: Promise<void>;
  /** Finishes the running batch, hands the partitions back and closes. */
  stop(): Promise<void>;
}

/**
 * Calls `session` until stopped. `mayPass` tells which failures a new session may mend; `progress` must grow with the
 * work done, so that the pause between sessions grows only while nothing is achieved.
 */
export function runSessions(options: {
  readonly session: (stopping: AbortSignal) => Promise<void>;
  readonly mayPass: (error: unknown) => boolean;
  readonly progress: () => number;
  readonly log: Logger;
}): Background {
  const stopping = new AbortController();
  async function run(): Promise<void> {
    let backoff = FIRST_BACKOFF_MS;
    while (!stopping.signal.aborted) {
      const before = options.progress();
      try {
        await options.session(stopping.signal);
      } catch (error) {
        if (!options.mayPass(error)) throw error;
        backoff = options.progress() > before ? FIRST_BACKOFF_MS : Math.min(backoff * 2, MAX_BACKOFF_MS);
        options.log.warn({ error: String(error), backoff }, 'session ended, starting anew');
        await sleep(backoff, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
  }
  const finished = run();
  finished.catch(() => undefined); // whoever awaits `finished` sees it; unobserved it must not end the process unlogged
  return {
    finished,
    async stop() {
      stopping.abort();
      await finished;
    },
  };
}
