import { Command } from 'commander';
import { dayOf } from '../kpi/day.ts';
import { readKpis } from '../kpi/read-kpis.ts';
import { findEnvironment, prepare } from './environment.ts';
import { readLag } from './lag.ts';
import { renderKpis } from './kpis.ts';
import { readSummary } from './summary.ts';
import { columns } from './terminal.ts';

/** `samvad status`: how far everything has come, and the figures that matter. */
export function statusCommand(): Command {
  return new Command('status')
    .description('lag of each component and the key figures')
    .option('--json', 'as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const prepared = await prepare(await findEnvironment());
      const { servers, pool } = prepared;
      const [lag, summary] = [await readLag(servers, pool), await readSummary(pool)];
      const kpis = await readKpis(pool, dayOf(Date.now()));
      if (json === true) process.stdout.write(`${JSON.stringify({ lag, ...summary, ...kpis })}\n`);
      else {
        process.stdout.write(
          `${columns([['component', 'reads', 'lag'], ...lag.map((l) => [l.component, l.topic, l.lag])])}\n`,
        );
        process.stdout.write(`\n${columns(Object.entries(summary.totals))}\n\n${renderKpis(kpis)}\n`);
      }
      await prepared.stop();
    });
}
