import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import { openPool } from '../../runtime/postgres-pool.ts';
import { inTransaction } from '../../runtime/projection-runner.ts';
import { startDatabase } from './stack.ts';

/** What Postgres says to its clients when its postmaster was killed: https://www.postgresql.org/docs/current/protocol-message-formats.html */
function goodbye(): Buffer {
  const fields = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0');
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([head, fields]);
}

/** In front of Postgres: each connection is told goodbye in the packet that says that it is ready. */
async function startDyingServer(databaseUrl: string): Promise<{ url: string; stop(): Promise<unknown> }> {
  const { hostname, port } = new URL(databaseUrl);
  const proxy = net.createServer((client) => {
    const server = net.connect(Number(port), hostname);
    server.on('error', () => undefined);
    client.on('error', () => undefined);
    client.pipe(server);
    server.on('data', (bytes) => {
      const ready = bytes.subarray(-6).equals(Buffer.from('Z\0\0\0\x05I'));
      if (ready) client.end(Buffer.concat([bytes, goodbye()]));
      else client.write(bytes);
    });
    client.on('close', () => server.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const url = new URL(databaseUrl);
  url.port = String((proxy.address() as AddressInfo).port);
  return { url: url.href, stop: () => once(proxy.close(), 'close') };
}

it('a connection that is lost in the moment it is handed out ends a transaction and not the process', async () => {
  const database = await startDatabase();
  const server = await startDyingServer(database.databaseUrl);
  const pool = openPool(server.url);
  try {
    await assert.rejects(
      inTransaction(pool, (client) => client.query('SELECT 1')),
      /terminat|not queryable/i,
    );
  } finally {
    await pool.end();
    await server.stop();
    await database.stop();
  }
});

it('a statement that may take so long ends in time, also where Postgres is frozen and says nothing', async () => {
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
