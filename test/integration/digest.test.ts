import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { digestTable } from '../../runtime/rebuild.ts';
import { endAll, startDatabase } from './stack.ts';
import type { Database } from './stack.ts';

let database: Database;
before(async () => {
  database = await startDatabase();
});
after(() => endAll(() => database.stop()));

/** The digest of a table with these rows, inserted in this order. */
async function digestOf(...rows: readonly (readonly [a: string | null, b: string | null])[]): Promise<string> {
  const { pool } = database;
  await pool.query('DROP TABLE IF EXISTS digested; CREATE TABLE digested (a text, b text)');
  for (const row of rows) await pool.query('INSERT INTO digested VALUES ($1, $2)', [...row]);
  return digestTable(pool, { table: 'digested' });
}

it('tables have the same digest when they have the same rows, equally often, in any order', async () => {
  const digest = await digestOf(['x', '1'], ['x', '2'], ['y', null]);
  assert.match(digest, /^[0-9a-f]{32}$/);
  assert.equal(await digestOf(['y', null], ['x', '2'], ['x', '1']), digest);
  const others = [
    await digestOf(),
    await digestOf(['x', '1'], ['x', '2']),
    await digestOf(['x', '1'], ['x', '2'], ['y', '']),
    await digestOf(['x', '1'], ['y', '2'], ['x', null]),
    await digestOf(['x', '1'], ['x', '2'], ['y', null], ['y', null]),
    await digestOf(['x', '1'], ['x', '2'], ['y', null], ['y', null], ['y', null]),
    await digestOf(['1', 'x'], ['2', 'x'], [null, 'y']),
  ];
  assert.equal(new Set([digest, ...others]).size, 1 + others.length);
});
