import type { RunningComponents } from './components.ts';
import type { StandBy } from './stand-by.ts';

/** The answer of `/readyz`: for each server and each component of this process, `ok` or a sentence. */
export function readinessOf({ watch }: Pick<StandBy, 'watch'>, components: RunningComponents): Record<string, string> {
  return {
    ...Object.fromEntries(watch.watched.map((server) => [server, watch.state(server)])),
    ...components.states(),
  };
}
