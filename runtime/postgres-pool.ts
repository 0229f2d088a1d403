/** The pool of connections to Postgres. */
import pg from 'pg';
import { within } from './within.ts';

/**
 * A process that is paused in a transaction keeps its rows of projection_offsets locked, and who takes over waits for them. So
 * Postgres ends a transaction in which nothing was asked for so long; between two statements of one that lives are milliseconds.
 */
const MAX_IDLE_MS = 10_000;
/** A rebuild keeps its table for longer: who waits for that tries again. */
const MAX_LOCKED_MS = 120_000;
/** Begins a transaction that a paused process does not keep open: what it has locked is free again soon. */
export const BEGIN = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${String(MAX_IDLE_MS)}; SET LOCAL lock_timeout = ${String(MAX_LOCKED_MS)}`;

/**
 * How many connections, and how long a statement may take on them; for ever where absent. A Postgres that is frozen ends no statement:
 * then the wait ends here, after twice as long. The wait for a connection is as long as that for a statement.
 */
export interface PoolOptions {
  readonly max?: number;
  readonly statementTimeoutMs?: number;
}

/**
 * A pool of at most `max` connections, none of which ends the process when the server drops it: whoever uses it hears of that by
 * the next query. The pool listens to idle connections only, and whoever gets one listens a moment later, when the server may have
 * said goodbye in the same packet; so each one has a listener from the beginning.
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
 * Runs `work` in a transaction on a connection of its own, which `begin` begins.
 * @throws Error when it has not ended after `limitMs`, whatever Postgres says or does not say; whether it was committed is then unknown.
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
  begin = 'BEGIN',
  limitMs = Infinity,
): Promise<T> {
  const client = await pool.connect();
  let failed: Error | undefined;
  // A server that goes away while the connection is idle between two statements says so by this event alone.
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
    failed ??= error instanceof Error ? error : new Error(String(error));
    throw error;
  } finally {
    client.removeListener('error', onError);
    client.release(failed); // a failed connection is closed, which rolls back
  }
}
