import assert from 'node:assert/strict';
import { it } from 'node:test';
import { mayPass } from '../../runtime/may-pass.ts';
import { BEGIN, inTransaction, openPool } from '../../runtime/postgres-pool.ts';
import { startPostgresProxy } from './postgres-proxy.ts';
import type { Between } from './postgres-proxy.ts';
import { startDatabase } from './stack.ts';

/** What Postgres sends its clients when its postmaster was killed: https://www.postgresql.org/docs/current/protocol-message-formats.html */
function goodbye(): Buffer {
  const fields = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0');
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([head, fields]);
}

/** Ends each connection in the same packet that says that it is ready. */
const dying: Between = (client, server) => {
  client.pipe(server);
  server.on('data', (bytes) => {
    const ready = bytes.subarray(-6).equals(Buffer.from('Z\0\0\0\x05I'));
    if (ready) client.end(Buffer.concat([bytes, goodbye()]));
    else client.write(bytes);
  });
};

it('a connection that is lost the moment it is handed out fails a transaction, not the process', async () => {
  const database = await startDatabase();
  const server = await startPostgresProxy(database.databaseUrl, dying);
  const pool = openPool(server.url);
  try {
    await assert.rejects(
      inTransaction(pool, (client) => client.query('SELECT 1')),
      /terminat|not queryable/i,
    );
  } finally {
    await server.stop();
    await pool.end();
    await database.stop();
  }
});

it('a statement ends at its time limit, also when Postgres is frozen', async () => {
  const database = await startDatabase();
  const pool = openPool(database.databaseUrl, { max: 1, statementTimeoutMs: 500 });
  const frozen: number[] = [];
  const freeze = (pid: number | undefined) => {
    assert.ok(pid);
    process.kill(pid, 'SIGSTOP');
    frozen.push(pid);
  };
  try {
    await assert.rejects(pool.query('SELECT pg_sleep(60)'), { code: '57014' });
    const { rows } = await pool.query<{ backend: number; postmaster: number }>(
      "SELECT pg_backend_pid() AS backend, split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS postmaster",
    );
    freeze(rows[0]?.backend);
    await assert.rejects(pool.query('SELECT 1'), /timeout/);
    freeze(rows[0]?.postmaster);
    const started = Date.now();
    await assert.rejects(pool.query('SELECT 1'), /timeout/);
    assert.ok(Date.now() - started < 5000);
  } finally {
    for (const pid of frozen) process.kill(pid, 'SIGCONT');
    await pool.end();
    await database.stop();
  }
});

it('a transaction that waits for a lock or for a frozen Postgres ends at its time limit, and may be tried again', async () => {
  const database = await startDatabase();
  const { pool } = database;
  let frozen: number | undefined;
  const lock = 'SELECT pg_advisory_xact_lock(1)';
  try {
    await inTransaction(pool, async (holder) => {
      await holder.query(lock);
      const waiting = inTransaction(pool, (client) => client.query(`SET LOCAL lock_timeout = 50; ${lock}`), BEGIN);
      await assert.rejects(waiting, (error) => mayPass(error));
    });
    const silent = inTransaction(
      pool,
      async (client) => {
        const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        frozen = rows[0]?.pid;
        assert.ok(frozen);
        process.kill(frozen, 'SIGSTOP');
        await client.query('SELECT 1');
      },
      BEGIN,
      500,
    );
    await assert.rejects(silent, (error) => mayPass(error));
    assert.equal(pool.totalCount, 0); // both connections are closed
  } finally {
    if (frozen !== undefined) process.kill(frozen, 'SIGCONT');
    await database.stop();
  }
});
