import { createHealthServer } from '../http/health-server.ts';
import type { RunningComponents } from './components.ts';
import { openFront } from './front.ts';
import type { RunningHttp } from './http.ts';
import { readPipelineFigures } from './pipeline-figures.ts';
import { readinessOf } from './readiness.ts';
import type { StandBy } from './stand-by.ts';

/**
 * Starts the health endpoints for supervisors and Prometheus when `SAMVAD_HEALTH_PORT` is set. `withPipeline` adds metrics of the whole
 * pipeline; only the process with the API sets it, so that they are reported once.
 * @throws UsageError when the port is taken.
 */
export async function startHealth(
  standBy: StandBy,
  components: RunningComponents,
  { withPipeline }: { readonly withPipeline: boolean },
): Promise<RunningHttp | undefined> {
  const { servers, pool, measurements } = standBy;
  const { health } = standBy.config;
  if (health === undefined) return undefined;
  const states = () => readinessOf(standBy, components);
  const server = createHealthServer({
    readiness: () => Promise.resolve(states()),
    figures: () => ({ stats: components.stats(), states: states() }),
    measurements,
    ...(withPipeline && { pipeline: () => readPipelineFigures(servers, pool) }),
  });
  const front = await openFront({ ...health, variable: 'SAMVAD_HEALTH_PORT' }, server);
  return { url: front.url, stop: () => front.close() };
}
