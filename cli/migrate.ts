import { Command } from 'commander';
import { findEnvironment } from '../app/environment.ts';
import { print } from '../app/terminal.ts';
import { migrate } from '../runtime/migrate.ts';

/** `samvad migrate`: updates the database to the current schema. */
export function migrateCommand(): Command {
  return new Command('migrate')
    .description('create or update the tables')
    .option('--json', 'what was applied, as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const { servers } = await findEnvironment();
      const applied = await migrate(servers.databaseUrl);
      print(json, { applied }, applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`);
    });
}
