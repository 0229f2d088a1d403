import { Command } from 'commander';
import { projections } from '../pipeline.ts';
import { digestTable, rebuildProjection } from '../runtime/rebuild.ts';
import { findEnvironment, prepare } from './environment.ts';
import { columns, progress, UsageError } from './terminal.ts';

/** `samvad rebuild`: tables again from the log. */
export function rebuildCommand(): Command {
  return new Command('rebuild')
    .description(
      'empty tables and fill them again from the log; whoever reads such a table waits until the new rows are complete',
    )
    .argument('[projection...]', `${projections.map(({ name }) => name).join(', ')}; all of them when none is named`)
    .action(async (names: string[]) => {
      const unknown = names.find((name) => !projections.some((projection) => projection.name === name));
      if (unknown !== undefined)
        throw new UsageError(
          `There is no projection ${unknown}. There are: ${projections.map(({ name }) => name).join(', ')}.`,
        );
      const prepared = await prepare(await findEnvironment());
      const { servers, codecs, pool } = prepared;
      const rows: (string | number)[][] = [];
      for (const projection of projections.filter(({ name }) => names.length === 0 || names.includes(name))) {
        const before = await digestTable(pool, projection);
        progress(`Rebuilding ${projection.name} …`);
        await rebuildProjection({ projection, kafka: servers.kafka, codec: codecs.of(projection.topic), pool });
        const after = await digestTable(pool, projection);
        rows.push([projection.table, after.slice(0, 16), before === after ? 'same as before' : 'changed']);
      }
      process.stdout.write(`${columns(rows)}\n`);
      await prepared.stop();
    });
}
