import { Command } from 'commander';
import { migrate } from '../runtime/migrate.ts';
import { findEnvironment } from './environment.ts';

/** `samvad migrate`: brings the database to the current schema. */
export function migrateCommand(): Command {
  return new Command('migrate').description('create or update the tables').action(async () => {
    const { servers } = await findEnvironment();
    const applied = await migrate(servers.databaseUrl);
    process.stdout.write(applied.length === 0 ? 'The database is up to date.\n' : `Applied ${applied.join(', ')}.\n`);
  });
}
