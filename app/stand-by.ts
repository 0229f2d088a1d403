/** Prepares servers that may become reachable later, in any order. */
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

/** Work that is retried until it succeeds. */
export interface Effort<T> {
  /** Rejects when an attempt fails permanently. Never settles when it is stopped before. */
  readonly done: Promise<T>;
  /** Why it is not done yet, as a sentence; undefined when it is done. */
  waiting(): string | undefined;
}

/** An environment that is being prepared. */
export interface StandBy extends Connected {
  /** Topics and schemas, which processors need. */
  readonly openLog: Effort<Codecs>;
  readonly openTables: Effort<unknown>;
  readonly watch: ServerWatch;
  /** Why not everything is ready yet, as a sentence; undefined when it is. */
  waiting(): string | undefined;
  /** The environment, when everything is ready. */
  readonly prepared: Promise<Prepared>;
}

/** Starts to prepare `environment` and returns at once. Tables are included when Postgres has an address. */
export function standBy(environment: Environment): StandBy {
  const connected = connect(environment);
  const { servers, pool, log } = connected;
  const stopping = new AbortController();
  const watch = watchServers(servers, pool, log);
  const openLog = effort('the topics and schemas', () => prepareLog(connected, log), log, stopping.signal);
  const openTables =
    servers.databaseUrl === ''
      ? inPlace(undefined)
      : effort('the tables', () => migrate(servers.databaseUrl), log, stopping.signal);
  const prepared = Promise.all([openLog.done, openTables.done]).then(([codecs]) => ({ ...connected, codecs }));
  prepared.catch(() => undefined); // reported to the caller that awaits it
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

/** A prepared environment as a `StandBy`, which waits for nothing. */
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

/** Work that is done already. */
function inPlace<T>(result: T): Effort<T> {
  return { waiting: () => undefined, done: Promise.resolve(result) };
}

/** Retries with growing pauses, and logs the reason of each failure. */
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
