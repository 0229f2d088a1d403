/** Brings the database to the schema of `migrations/`. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { ADVISORY_LOCKS } from './advisory-locks.ts';

const FOLDER = path.join(import.meta.dirname, '..', 'migrations');

/** The database has other migrations than this version of the program. */
export class OtherMigrations extends Error {
  override readonly name = 'OtherMigrations';
}

/**
 * Applies what is missing, each file in a transaction, one process at a time. Returns the names of the applied files.
 * @throws OtherMigrations before it changes anything, when an applied file is unknown or has other content now.
 */
export async function migrate(databaseUrl: string, folder = FOLDER): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined); // a connection lost between two statements also rejects the next one
  try {
    await client.connect();
    await client.query('SET statement_timeout = 0'); // a user's own limit is for statements that end soon
    await client.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.migrate]);
    await client.query(
      'CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())',
    );
    const { rows } = await client.query<{ name: string; sha256: string }>('SELECT name, sha256 FROM schema_migrations');
    const files = await Promise.all(
      (await readdir(folder))
        .filter((file) => file.endsWith('.sql'))
        .sort()
        .map(async (name) => {
          const sql = await readFile(path.join(folder, name), 'utf8');
          return { name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
        }),
    );
    const before = new Map(rows.map(({ name, sha256 }) => [name, sha256]));
    check(before, new Map(files.map(({ name, sha256 }) => [name, sha256])));
    const applied: string[] = [];
    for (const { name, sql, sha256 } of files) {
      if (before.has(name)) continue;
      await client.query('BEGIN');
      await client.query(sql);
      await client.query('INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)', [name, sha256]);
      await client.query('COMMIT');
      applied.push(name);
    }
    return applied;
  } finally {
    await client.end().catch(() => undefined); // an open transaction is rolled back and the lock is given back
  }
}

function check(applied: ReadonlyMap<string, string>, files: ReadonlyMap<string, string>): void {
  for (const [name, sha256] of applied) {
    const now = files.get(name);
    if (now === undefined)
      throw new OtherMigrations(
        `The database has the migration ${name}, which this version does not know: another version has migrated it. ` +
          'Run that version, or give this one an empty database, which it fills from the log (docs/operations.md, "Upgrade and schema change").',
      );
    if (now !== sha256)
      throw new OtherMigrations(
        `${name} was changed after it was applied; put it back and write the change as a new file.`,
      );
  }
}
