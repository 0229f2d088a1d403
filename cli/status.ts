import { Command } from 'commander';
import { withPrepared } from '../app/environment.ts';
import { readLag } from '../app/lag.ts';
import type { Lag } from '../app/lag.ts';
import { readSummary } from '../app/summary.ts';
import { columns, print } from '../app/terminal.ts';
import { dayOf } from '../kpi/day.ts';
import { accuracyRange, readAccuracy } from '../kpi/read-accuracy.ts';
import { readKpis } from '../kpi/read-kpis.ts';
import type { ProductionAccuracy } from '../policy/audit.ts';
import { percent } from '../policy/percent.ts';
import { renderKpis } from './kpis.ts';

/** `samvad status`: the lag of each component and the key figures. */
export function statusCommand(): Command {
  return new Command('status')
    .description('lag of each component and the key figures')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: boolean }) =>
      withPrepared(async ({ servers, pool }) => {
        const [lag, summary] = [await readLag(servers, pool), await readSummary(pool)];
        const today = dayOf(Date.now());
        const kpis = await readKpis(pool, today);
        const { all: productionAccuracy } = await readAccuracy(pool, accuracyRange(today));
        const totals = columns(Object.entries(summary.totals));
        const text = [renderLag(lag), totals, renderKpis(kpis), renderAccuracy(productionAccuracy)].join('\n\n');
        print(json, { lag, ...summary, ...kpis, productionAccuracy }, text);
      }),
    );
}

function renderLag(lags: readonly Lag[]): string {
  const rows = lags.map(({ component, topic, lag, ahead }) => [
    component,
    topic,
    ahead > 0 ? `${ahead} ahead of its log` : lag,
  ]);
  return columns([['component', 'reads', 'lag'], ...rows]);
}

/** One line: the corrected figure with its interval, and the naive one. */
function renderAccuracy({ corrected, interval: [low, high], naive, answers }: ProductionAccuracy): string {
  if (naive === null)
    return '  Accuracy in production: no answers in 30 days; `samvad accuracy --from DAY` covers a longer time.';
  const figure = corrected === null ? 'unknown, because a part of the traffic has no answer' : percent(corrected);
  return `  Accuracy in production, 30 days: ${figure} (95 % interval ${percent(low)} to ${percent(high)}; naive ${percent(naive)}; ${answers} answers).`;
}
