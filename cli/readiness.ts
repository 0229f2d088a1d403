import { watchedServers } from '../runtime/server-watch.ts';
import type { RunningComponents } from './components.ts';
import type { StandBy } from './stand-by.ts';

/** What `/readyz` answers: the servers, and each component of this process; `ok`, or a sentence. */
export function readinessOf({ watch }: Pick<StandBy, 'watch'>, components: RunningComponents): Record<string, string> {
  return {
    ...Object.fromEntries(watchedServers.map((server) => [server, watch.state(server)])),
    ...components.states(),
  };
}
