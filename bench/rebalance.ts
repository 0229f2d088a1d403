/** `npm run bench:rebalance [-- PER_SECOND]`: how long the pipeline pauses when worker processes start and stop. */
import { rebalanceRun } from '../test/crash/rebalance.ts';

const perSecond = Number(process.argv[2] ?? 1000);
const { events, rebalances, broken } = await rebalanceRun(perSecond, 15_000);
for (const { from, to, pauseMs, pauseBeforeMs } of rebalances)
  process.stdout.write(
    `${from} → ${to} workers: longest pause ${pauseMs} ms (before the change ${pauseBeforeMs} ms)\n`,
  );
process.stdout.write(
  `${events} conversations at ${perSecond}/s; ${broken.length === 0 ? 'none lost, none twice' : broken.join(' ')}\n`,
);
process.exit(broken.length === 0 ? 0 : 1);
