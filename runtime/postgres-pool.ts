/** The pool of connections to Postgres. */
import pg from 'pg';
import { asError } from './reason.ts';
import { within } from './within.ts';

/**
 * A process that is paused in a transaction keeps its rows of projection_offsets locked, and the process that takes over waits for
 * them. So Postgres ends a transaction that is idle this long; a running process pauses only milliseconds between statements.
 */
const MAX_IDLE_MS = 10_000;
/** A rebuild may lock its table for longer; the waiting process then tries again. */
const MAX_LOCKED_MS = 120_000;
/** Begins a transaction that Postgres ends if the process is paused, so that its locks are released. */
export const BEGIN = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${String(MAX_IDLE_MS)}; SET LOCAL lock_timeout = ${String(MAX_LOCKED_MS)}`;

/**
 * How many connections, and the time limit of a statement and of waiting for a connection; a statement without one has no limit.
 * A frozen Postgres ends no statement, so the client gives up after twice the limit.
 */
export interface PoolOptions {
  readonly max?: number;
  readonly statementTimeoutMs?: number;
}

/**
 * A pool of at most `max` connections. A connection that the server drops does not end the process; the next query on it fails. The
 * pool listens for errors on idle connections only, and a caller begins to listen a moment after it gets one, so each connection has a
 * listener from the start.
 */
export function openPool(databaseUrl: string, { max = 10, statementTimeoutMs }: PoolOptions = {}): pg.Pool {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max,
    connectionTimeoutMillis: statementTimeoutMs ?? 10_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000, // the system's default is two hours
    ...(statementTimeoutMs !== undefined && {
      statement_timeout: statementTimeoutMs,
      query_timeout: 2 * statementTimeoutMs,
    }),
  });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/**
 * Runs `work` in a transaction on a separate connection, started with the SQL `begin`.
 * @throws Error when it has not ended after `limitMs`; whether it was committed is then unknown.
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
  begin = 'BEGIN',
  limitMs = Infinity,
): Promise<T> {
  const client = await pool.connect();
  let failed: Error | undefined;
  // A server that goes away between two statements is reported only by this event.
  const onError = (error: Error) => (failed = error);
  client.on('error', onError);
  const transaction = async () => {
    await client.query(begin);
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  };
  try {
    const late = () => new Error(`timeout: a transaction has not ended after ${String(limitMs / 1000)} s`);
    return await within(limitMs, transaction(), late);
  } catch (error) {
    failed ??= asError(error);
    throw error;
  } finally {
    client.removeListener('error', onError);
    client.release(failed); // a failed connection is closed, which rolls back
  }
}
