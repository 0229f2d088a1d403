import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { migrate, OtherMigrations } from '../../runtime/migrate.ts';
import { endAll, startDatabase } from './stack.ts';
import type { Database } from './stack.ts';

let database: Database;
before(async () => {
  database = await startDatabase();
});
after(() => endAll(() => database.stop()));

/** A copy of `migrations/` that a test may change. */
async function copyOfMigrations(t: { after: (end: () => Promise<void>) => void }): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-migrations-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await cp(path.join(import.meta.dirname, '../../migrations'), folder, { recursive: true });
  return folder;
}

const hasTable = async (name: string) =>
  (await database.pool.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [name])).rows[0]?.found;

it('applies each migration once, a new one too', async (t) => {
  const folder = await copyOfMigrations(t);
  assert.deepEqual(await migrate(database.databaseUrl), []);
  await writeFile(path.join(folder, '900_new.sql'), 'CREATE TABLE new_table (id int)');
  assert.deepEqual(await migrate(database.databaseUrl, folder), ['900_new.sql']);
  assert.deepEqual(await migrate(database.databaseUrl, folder), []);
  await assert.rejects(
    migrate(database.databaseUrl),
    (error: Error) =>
      error instanceof OtherMigrations && /900_new\.sql, which this version does not know/.test(error.message),
    'an older version refuses the database of a newer one',
  );
  await database.pool.query("DROP TABLE new_table; DELETE FROM schema_migrations WHERE name = '900_new.sql'");
});

it('changes nothing where an applied file was edited, or where a file fails half-way', async (t) => {
  const folder = await copyOfMigrations(t);
  await writeFile(path.join(folder, '900_half.sql'), 'CREATE TABLE half (id int); SELECT 1 / 0');
  await assert.rejects(migrate(database.databaseUrl, folder), /division by zero/);
  assert.equal(await hasTable('half'), false);

  await writeFile(path.join(folder, '900_half.sql'), 'CREATE TABLE half (id int)');
  await writeFile(path.join(folder, '001_projections.sql'), '-- edited');
  await assert.rejects(migrate(database.databaseUrl, folder), /001_projections\.sql was changed after it was applied/);
  assert.equal(await hasTable('half'), false);
});
