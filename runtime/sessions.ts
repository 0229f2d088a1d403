/** Runs sessions one after another: every temporary failure ends a session, and a new one starts. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { mayPass } from './may-pass.ts';
import { adviceOn } from './reason.ts';

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;
/** A session that has lasted this long after a failure counts as working; connecting takes less. */
const SOUND_MS = 15_000;

/** A component that runs in the background. */
export interface Background {
  /** Resolves after `stop`; rejects with an error that a new session can't resolve. */
  readonly finished: Promise<void>;
  /** `ok`, or a sentence with the last failure until a session works again. */
  state(): string;
  /** Finishes the running batch, hands the partitions back and closes. */
  stop(): Promise<void>;
}

/**
 * Calls `session` until it is stopped or meets a permanent failure. `progress` must grow with the work done, because the pause between
 * sessions grows only while nothing is done.
 */
export function runSessions(options: {
  readonly session: (stopping: AbortSignal) => Promise<void>;
  readonly progress: () => number;
  readonly log: Logger;
}): Background {
  const stopping = new AbortController();
  let began = { at: Date.now(), progress: 0 };
  let trouble: string | undefined;
  async function run(): Promise<void> {
    let backoff = FIRST_BACKOFF_MS;
    while (!stopping.signal.aborted) {
      began = { at: Date.now(), progress: options.progress() };
      try {
        await options.session(stopping.signal);
      } catch (error) {
        if (!mayPass(error)) throw error;
        trouble = `${String(error)}${adviceOn(error)}`;
        backoff = options.progress() > began.progress ? FIRST_BACKOFF_MS : Math.min(backoff * 2, MAX_BACKOFF_MS);
        options.log.warn({ error: trouble, backoff }, 'session ended, starting a new one');
        await sleep(backoff, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
    }
  }
  const finished = run();
  finished.catch(() => undefined); // a caller that awaits `finished` sees it; unobserved, it must not end the process without a log line
  return {
    finished,
    state() {
      if (trouble !== undefined && (options.progress() > began.progress || Date.now() - began.at > SOUND_MS))
        trouble = undefined;
      return trouble === undefined ? 'ok' : `It is restarting after a failure: ${trouble}`;
    },
    async stop() {
      stopping.abort();
      await finished;
    },
  };
}

/** What a processor or a projection has done since its start, for the status page and metrics. */
export type MemberStats = {
  processed: number;
  transactions: number;
  deadLetters: number;
  sessions: number;
  /** 1 while it is a member of its group, even without partitions. */
  joined: number;
  /** Partitions. */
  assigned: number;
};

/** A component that works as a member of a consumer group. */
export interface Member extends Background {
  stats(): Readonly<MemberStats>;
}

/** Runs the sessions of such a component, which count their work in `stats`. Returns at once. */
export function runMember(log: Logger, session: (stopping: AbortSignal, stats: MemberStats) => Promise<void>): Member {
  const stats: MemberStats = { processed: 0, transactions: 0, deadLetters: 0, sessions: 0, joined: 0, assigned: 0 };
  const background = runSessions({
    session(stopping) {
      stats.sessions++;
      stats.joined = 0;
      return session(stopping, stats);
    },
    progress: () => stats.transactions,
    log,
  });
  return {
    ...background,
    stats: () => stats,
    state() {
      const state = background.state();
      return state === 'ok' && stats.joined === 0 ? 'It is joining its group.' : state;
    },
  };
}

/** Counts the partitions that a session gets. An assignment, even of none, shows that the component is a member of its group. */
export function assignedTo(stats: MemberStats): (partitions: number) => void {
  return (partitions) => {
    stats.assigned = partitions;
    stats.joined = 1;
  };
}

/** Resolves when `signal` is aborted. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
