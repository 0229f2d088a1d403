import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { it } from 'node:test';
import { leaseNext } from '../../review/leases.ts';
import { openPool } from '../../runtime/postgres-pool.ts';
import { within } from '../../runtime/within.ts';
import { startPostgresProxy } from './postgres-proxy.ts';
import type { Between } from './postgres-proxy.ts';
import { startDatabase } from './stack.ts';

/** Passes on nothing from the client once it has the lock, as if its process were paused there. */
const paused =
  (course: EventEmitter): Between =>
  (client, server) => {
    let [asked, has] = [false, false];
    client.on('data', (bytes) => {
      asked ||= bytes.includes('pg_advisory_xact_lock');
      if (!has) server.write(bytes);
    });
    server.on('data', (bytes) => {
      has ||= asked && bytes.subarray(-6).equals(Buffer.from('Z\0\0\0\x05T'));
      if (has) course.emit('paused');
      client.write(bytes);
    });
  };

it('a process that is paused while it lends items delays others only for seconds', async () => {
  const database = await startDatabase();
  const course = new EventEmitter();
  const proxy = await startPostgresProxy(database.databaseUrl, paused(course));
  const pool = openPool(proxy.url);
  try {
    const reached = once(course, 'paused');
    const lost = assert.rejects(leaseNext(pool, { reviewer: 'asha', session: 'one' }, {}, 1), /connection|idle/i);
    await reached;
    const next = leaseNext(database.pool, { reviewer: 'meera', session: 'two' }, {}, 1);
    assert.deepEqual(await within(20_000, next, () => new Error('It waits for the paused one.')), []);
    await lost;
  } finally {
    await proxy.stop();
    await pool.end();
    await database.stop();
  }
});
