/**
 * One synchronisation: Label Studio's tasks follow the review queue, and its annotations become reviews.
 *
 * 1. Find, create or complete the project.
 * 2. Scan all tasks, or those that changed, and write the resulting reviews into the outbox.
 * 3. Send the outbox to Kafka.
 * 4. Delete tasks that were answered elsewhere or erased.
 * 5. Push waiting conversations, most useful first.
 *
 * If a step fails, the next run continues from what is stored. Only one runs at a time.
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

/** The connections that a sync uses. */
export interface SyncContext {
  readonly config: LabelStudioConfig;
  readonly api: LabelStudioApi;
  readonly pool: Pool;
  readonly reviews: ReviewSender;
  readonly log: Logger;
}

/** The result of a sync. */
export interface SyncReport {
  readonly project: number;
  readonly full: boolean;
  /** Created tasks. */
  readonly pushed: number;
  /** Tasks deleted because their conversation was answered elsewhere or erased. */
  readonly closed: number;
  /** New versions of annotations, including skips. */
  readonly annotations: number;
  /** Records sent to Kafka, including withdrawals. */
  readonly reviews: number;
  /** Tasks that wait in Label Studio now. */
  readonly open: number;
  readonly warnings: readonly string[];
}

const BATCH = 500;

/** Time limits in milliseconds. */
export interface SyncLimits {
  /**
   * A process that holds the lock but sends Postgres nothing for this long is considered paused, and loses the lock.
   */
  readonly silent: number;
  /** How long a sync waits for the lock. */
  readonly wait: number;
}

/** A request to Label Studio may take a minute, and one for a token may precede it. */
const LIMITS: SyncLimits = { silent: 3 * 60_000, wait: 5 * 60_000 };
/** Postgres' error code for a lock time-out. */
const LOCK_NOT_AVAILABLE = '55P03';

/** Options of a sync. */
export interface SyncOptions {
  /** Scans all tasks, even if that was done recently. */
  readonly full: boolean;
  /** Takes the project from another installation. */
  readonly takeOver?: boolean;
  readonly limits?: SyncLimits;
}

/**
 * Runs one synchronisation, after any other has ended.
 * @throws LabelStudioError when Label Studio fails; the failure is noted with the project.
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
 * Runs `work` under a lock. The lock belongs to a transaction, so it ends with the connection, which Postgres closes
 * when the process is silent for too long.
 * @throws LabelStudioError when another synchronisation does not end in time.
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
      throw new LabelStudioError(`Another synchronisation was still running ${waited}; this one did not start.`, {
        cause,
      });
    });
    const { api, pool, reviews } = context;
    return work({ ...context, api: held(client, api), pool: held(client, pool), reviews: held(client, reviews) });
  };
  const begin = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${silent}; SET LOCAL lock_timeout = ${wait}`;
  return inTransaction(context.pool, locked, begin);
}

/**
 * Wraps the calls so that each first checks that the locking transaction still exists: a process that was paused for
 * too long must do nothing more.
 */
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
