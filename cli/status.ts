import { Command } from 'commander';
import { findEnvironment, prepare } from '../app/environment.ts';
import { readLag } from '../app/lag.ts';
import { readSummary } from '../app/summary.ts';
import { columns, percent } from '../app/terminal.ts';
import { dayOf } from '../kpi/day.ts';
import { accuracyRange, readAccuracy } from '../kpi/read-accuracy.ts';
import { readKpis } from '../kpi/read-kpis.ts';
import type { ProductionAccuracy } from '../policy/audit.ts';
import { renderKpis } from './kpis.ts';

/** `samvad status`: how far everything has come, and the figures that matter. */
export function statusCommand(): Command {
  return new Command('status')
    .description('lag of each component and the key figures')
    .option('--json', 'as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const prepared = await prepare(await findEnvironment());
      const { servers, pool } = prepared;
      const [lag, summary] = [await readLag(servers, pool), await readSummary(pool)];
      const today = dayOf(Date.now());
      const kpis = await readKpis(pool, today);
      const { all: productionAccuracy } = await readAccuracy(pool, accuracyRange(today));
      if (json === true) process.stdout.write(`${JSON.stringify({ lag, ...summary, ...kpis, productionAccuracy })}\n`);
      else {
        process.stdout.write(
          `${columns([['component', 'reads', 'lag'], ...lag.map((l) => [l.component, l.topic, l.ahead > 0 ? `${l.ahead} ahead of its log` : l.lag])])}\n`,
        );
        process.stdout.write(
          `\n${columns(Object.entries(summary.totals))}\n\n${renderKpis(kpis)}\n\n${renderAccuracy(productionAccuracy)}\n`,
        );
      }
      await prepared.stop();
    });
}

/** One line: the corrected figure with its interval, the naive one beside it. */
function renderAccuracy({ corrected, interval: [low, high], naive, answers }: ProductionAccuracy): string {
  if (naive === null)
    return '  Accuracy in production: no answers in 30 days; `samvad accuracy --from DAY` looks further back.';
  const figure = corrected === null ? 'not known, a part of the traffic has no answer' : percent(corrected);
  return `  Accuracy in production, 30 days: ${figure} (95 % interval ${percent(low)} to ${percent(high)}; naive ${percent(naive)}; ${answers} answers).`;
}
