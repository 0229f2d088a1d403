import { Command } from 'commander';
import { withPrepared } from '../app/environment.ts';
import { columns, print, progress, UsageError } from '../app/terminal.ts';
import { projections } from '../pipeline.ts';
import { digestTable, rebuildProjection } from '../runtime/rebuild.ts';

/** `samvad rebuild`: fills tables again from the log. */
export function rebuildCommand(): Command {
  return new Command('rebuild')
    .description('empty tables and fill them again from the log; readers of a table wait until its rows are complete')
    .argument('[projection...]', `${projections.map(({ name }) => name).join(', ')}; all of them by default`)
    .option('--json', 'the digests of the tables before and after, as JSON')
    .action(async (names: string[], { json }: { json?: boolean }) => {
      const unknown = names.find((name) => !projections.some((projection) => projection.name === name));
      if (unknown !== undefined)
        throw new UsageError(
          `There is no projection ${unknown}. There are: ${projections.map(({ name }) => name).join(', ')}.`,
        );
      const rebuilt: { projection: string; table: string; before: string; after: string }[] = [];
      await withPrepared(async ({ servers, codecs, pool }) => {
        for (const projection of projections.filter(({ name }) => names.length === 0 || names.includes(name))) {
          const before = await digestTable(pool, projection);
          progress(`Rebuilding ${projection.name} …`);
          await rebuildProjection({ projection, kafka: servers.kafka, codec: codecs.of(projection.topic), pool });
          const after = await digestTable(pool, projection);
          rebuilt.push({ projection: projection.name, table: projection.table, before, after });
        }
      });
      const rows = rebuilt.map(({ table, before, after }) => [
        table,
        after.slice(0, 16),
        before === after ? 'same as before' : 'changed',
      ]);
      print(json, rebuilt, columns(rows));
    });
}
