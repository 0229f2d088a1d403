/** Preparing the servers for as long as it takes: whatever is away at the start may come later, in any order. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { mayPass } from '../runtime/may-pass.ts';
import { migrate } from '../runtime/migrate.ts';
import { reasonOf } from '../runtime/reason.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { watchedServers, watchServers } from '../runtime/server-watch.ts';
import type { ServerWatch } from '../runtime/server-watch.ts';
import { connect, prepareLog } from './environment.ts';
import type { Connected, Environment, Prepared } from './environment.ts';

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 5000;

/** Something that takes as many attempts as it needs. */
export interface Effort<T> {
  /** Rejects when an attempt failed in a way that does not pass. Stays open for ever when all is stopped first. */
  readonly done: Promise<T>;
  /** Why it is not done yet, in a sentence; undefined when it is. */
  waiting(): string | undefined;
}

/** An environment that is being prepared. */
export interface StandBy extends Connected {
  /** Topics and schemas: what processors need. */
  readonly openLog: Effort<Codecs>;
  readonly openTables: Effort<unknown>;
  readonly watch: ServerWatch;
  /** Why not everything is in place yet. */
  waiting(): string | undefined;
  /** The environment when everything is in place. */
  readonly prepared: Promise<Prepared>;
}

/** Begins to prepare `environment`, with the tables where Postgres has an address, and returns at once. */
export function standBy(environment: Environment): StandBy {
  const connected = connect(environment);
  const { servers, pool, log } = connected;
  const stopping = new AbortController();
  const watch = watchServers(servers, pool, log);
  const openLog = effort('the topics and schemas', () => prepareLog(connected), log, stopping.signal);
  const openTables =
    servers.databaseUrl === ''
      ? inPlace(undefined)
      : effort('the tables', () => migrate(servers.databaseUrl), log, stopping.signal);
  const prepared = Promise.all([openLog.done, openTables.done]).then(([codecs]) => ({ ...connected, codecs }));
  prepared.catch(() => undefined); // whoever awaits it sees it
  return {
    ...connected,
    openLog,
    openTables,
    watch,
    waiting: () => openLog.waiting() ?? openTables.waiting(),
    prepared,
    async stop() {
      stopping.abort();
      await watch.stop();
      await connected.stop();
    },
  };
}

/** What was prepared already, seen as something that stands by: nothing is waited for. */
export function onStandBy(ground: Prepared | StandBy): StandBy {
  if ('openLog' in ground) return ground;
  return {
    ...ground,
    openLog: inPlace(ground.codecs),
    openTables: inPlace(undefined),
    watch: { watched: watchedServers, state: () => 'ok', stop: () => Promise.resolve() },
    waiting: () => undefined,
    prepared: Promise.resolve(ground),
  };
}

/** What takes no attempt. */
function inPlace<T>(result: T): Effort<T> {
  return { waiting: () => undefined, done: Promise.resolve(result) };
}

/** Tries until it works, with growing pauses and the reason of each attempt in the log. */
function effort<T>(what: string, attempt: () => Promise<T>, log: Logger, signal: AbortSignal): Effort<T> {
  let waiting: string | undefined = `It waits for ${what}.`;
  async function run(): Promise<T> {
    for (let backoff = FIRST_BACKOFF_MS; ; backoff = Math.min(backoff * 2, MAX_BACKOFF_MS)) {
      try {
        const result = await attempt();
        if (backoff > FIRST_BACKOFF_MS) log.info({ what }, 'in place after waiting');
        waiting = undefined;
        return result;
      } catch (error) {
        if (signal.aborted) return new Promise<never>(() => undefined);
        if (!mayPass(error)) throw error;
        const reason = reasonOf(error);
        waiting = `It waits for ${what}: ${reason}.`;
        log.warn({ what, reason, backoff }, 'not in place yet, trying again');
        await sleep(backoff, undefined, { signal }).catch(() => undefined);
      }
    }
  }
  const done = run();
  done.catch(() => undefined);
  return { done, waiting: () => waiting };
}
