import { createHealthServer } from '../status/server.ts';
import type { RunningComponents } from './components.ts';
import { openFront } from './front.ts';
import type { RunningHttp } from './http.ts';
import { readinessOf } from './readiness.ts';
import type { StandBy } from './stand-by.ts';

/**
 * Answers `/healthz` and `/readyz` for whoever supervises this process, where `SAMVAD_HEALTH_PORT` is set.
 * @throws UsageError when the port is taken.
 */
export async function startHealth(standBy: StandBy, components: RunningComponents): Promise<RunningHttp | undefined> {
  const { host, healthPort } = standBy.config.http;
  if (healthPort === undefined) return undefined;
  const readiness = () => Promise.resolve(readinessOf(standBy, components));
  const front = await openFront(
    { host, port: healthPort, variable: 'SAMVAD_HEALTH_PORT' },
    createHealthServer({ readiness }),
  );
  return { url: front.url, stop: () => front.close() };
}
