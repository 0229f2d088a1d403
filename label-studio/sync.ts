/**
 * One synchronisation. Label Studio's tasks are made to follow the review queue, and its annotations become reviews:
 *
 * 1. find, create or complete the project;
 * 2. scan tasks, all of them or those that changed, and put into the outbox what that says;
 * 3. send the outbox to Kafka;
 * 4. take out what was answered elsewhere, and what was erased;
 * 5. push what waits, the most useful first.
 *
 * Each step leaves what the next run needs, wherever it stops. One runs at a time.
 */
import type { Pool, PoolClient } from 'pg';
import type { Logger } from 'pino';
import type { LabelStudioConfig } from '../config.ts';
import { ADVISORY_LOCKS } from '../runtime/advisory-locks.ts';
import { inTransaction } from '../runtime/postgres-pool.ts';
import { isErrorCode } from '../runtime/reason.ts';
import type { LabelStudioApi } from './api.ts';
import { close, closeErased, push } from './follow-queue.ts';
import { LabelStudioError } from './http.ts';
import { readyProject } from './project.ts';
import type { ReviewSender } from './review-sender.ts';
import { scan } from './scan.ts';
import { nextToSend, noteFailure, noteSync, sent, tasksIn } from './store.ts';

/** What a sync works with. */
export interface SyncContext {
  readonly config: LabelStudioConfig;
  readonly api: LabelStudioApi;
  readonly pool: Pool;
  readonly reviews: ReviewSender;
  readonly log: Logger;
}

/** What a sync did. */
export interface SyncReport {
  readonly project: number;
  readonly full: boolean;
  /** Tasks that were created. */
  readonly pushed: number;
  /** Tasks that were taken out, because their conversation was answered elsewhere or erased. */
  readonly closed: number;
  /** Versions of annotations that were new, skips among them. */
  readonly annotations: number;
  /** Records that went to Kafka, withdrawals among them. */
  readonly reviews: number;
  /** Tasks that wait in Label Studio now. */
  readonly open: number;
  readonly warnings: readonly string[];
}

const BATCH = 500;

/** Milliseconds. */
export interface SyncLimits {
  /** A process that has asked Postgres for nothing for so long in its turn is taken for paused, and loses it. */
  readonly silent: number;
  /** How long a sync waits for its turn. */
  readonly wait: number;
}

/** A request to Label Studio may take a minute, and first one more for its token. */
const LIMITS: SyncLimits = { silent: 3 * 60_000, wait: 5 * 60_000 };
/** Postgres's code for a lock that was waited for too long. */
const LOCK_NOT_AVAILABLE = '55P03';

/** How a sync is run. */
export interface SyncOptions {
  /** Scans all tasks, whenever that was done last. */
  readonly full: boolean;
  /** Takes the project from another installation. */
  readonly takeOver?: boolean;
  readonly limits?: SyncLimits;
}

/**
 * Runs one synchronisation, after any that runs.
 * @throws LabelStudioError when Label Studio does not do its part; it is noted with the project, whoever asked.
 */
export async function synchronise(context: SyncContext, options: SyncOptions): Promise<SyncReport> {
  try {
    return await follow(context, options);
  } catch (error) {
    if (error instanceof LabelStudioError) await noteFailure(context.pool, context.config.url, error.message);
    throw error;
  }
}

function follow(context: SyncContext, options: SyncOptions): Promise<SyncReport> {
  return inTurn(context, options.limits ?? LIMITS, async (turn) => {
    const { api, config, pool } = turn;
    const project = await readyProject(api, pool, config, options);
    const scanned = await scan(turn, project);
    const reviews = await sendOutbox(turn);
    const erased = await closeErased(turn, project);
    const closed = (await close(turn, project)) + erased.closed;
    const { pushed, refused } = await push(turn, project);
    await noteSync(pool, project.known.id, { pushed, closed, annotations: scanned.annotations, reviews });
    return {
      project: project.labelStudioId,
      full: project.full,
      pushed,
      closed,
      annotations: scanned.annotations,
      reviews,
      open: (await tasksIn(pool, project.known.id, 'open')).length,
      warnings: [...project.warnings, ...scanned.problems, ...erased.warnings, ...refused],
    };
  });
}

/**
 * Does `work` when no other does. The lock ends with its transaction, and so with the connection, which Postgres ends when the
 * process is silent. @throws LabelStudioError when another one runs and does not end.
 */
async function inTurn<T>(
  context: SyncContext,
  { silent, wait }: SyncLimits,
  work: (turn: SyncContext) => Promise<T>,
): Promise<T> {
  const locked = async (client: PoolClient) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCKS.labelStudioSync]).catch((cause: unknown) => {
      if (!isErrorCode(cause, LOCK_NOT_AVAILABLE)) throw cause;
      const waited = `after ${Math.round(wait / 1000)} seconds`;
      throw new LabelStudioError(`Another synchronisation was still running ${waited}; this one has not begun.`, {
        cause,
      });
    });
    const { api, pool, reviews } = context;
    return work({ ...context, api: held(client, api), pool: held(client, pool), reviews: held(client, reviews) });
  };
  const begin = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${silent}; SET LOCAL lock_timeout = ${wait}`;
  return inTransaction(context.pool, locked, begin);
}

/** The same calls, each after Postgres has heard of us and still has our lock: who was paused for long must do no more. */
function held<T extends LabelStudioApi | Pool | ReviewSender>(client: PoolClient, calls: T): T {
  return new Proxy(calls, {
    get:
      (target, name) =>
      async (...values: unknown[]) => {
        await client.query('SELECT');
        return (Reflect.get(target, name) as (...values: unknown[]) => Promise<unknown>).apply(target, values);
      },
  });
}

async function sendOutbox({ pool, reviews }: SyncContext): Promise<number> {
  for (let count = 0; ;) {
    const batch = await nextToSend(pool, BATCH);
    if (batch.length === 0) return count;
    await reviews.send(batch.map(({ review }) => review));
    await sent(
      pool,
      batch.map(({ id }) => id),
    );
    count += batch.length;
  }
}
