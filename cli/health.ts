import { createHealthServer } from '../status/health-server.ts';
import type { RunningComponents } from './components.ts';
import { openFront } from './front.ts';
import type { RunningHttp } from './http.ts';
import { readLag } from './lag.ts';
import { readinessOf } from './readiness.ts';
import type { StandBy } from './stand-by.ts';
import { readSummary } from './summary.ts';

/** The metrics of the whole pipeline come with the API, once and not from each copy of each component. */
export interface HealthOptions {
  readonly withBacklog: boolean;
}

/**
 * Answers whoever supervises this process, where `SAMVAD_HEALTH_PORT` is set.
 * @throws UsageError when the port is taken.
 */
export async function startHealth(
  standBy: StandBy,
  components: RunningComponents,
  { withBacklog }: HealthOptions,
): Promise<RunningHttp | undefined> {
  const { servers, pool } = standBy;
  const { health } = standBy.config;
  if (health === undefined) return undefined;
  const states = () => readinessOf(standBy, components);
  const server = createHealthServer({
    readiness: () => Promise.resolve(states()),
    figures: () => ({ stats: components.stats(), states: states() }),
    ...(withBacklog && {
      backlog: async () => ({
        lag: await readLag(servers, pool),
        waiting: (await readSummary(pool)).totals.waiting,
      }),
    }),
  });
  const front = await openFront({ ...health, variable: 'SAMVAD_HEALTH_PORT' }, server);
  return { url: front.url, stop: () => front.close() };
}
