/** The pool of connections to Postgres. */
import pg from 'pg';

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
    ...(statementTimeoutMs !== undefined && {
      statement_timeout: statementTimeoutMs,
      query_timeout: 2 * statementTimeoutMs,
    }),
  });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}
