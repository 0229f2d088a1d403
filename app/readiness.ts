import type { RunningComponents } from './components.ts';
import type { StandBy } from './stand-by.ts';

/** What `/readyz` answers: the servers that it needs, and each component of this process; `ok`, or a sentence. */
export function readinessOf({ watch }: Pick<StandBy, 'watch'>, components: RunningComponents): Record<string, string> {
  return {
    ...Object.fromEntries(watch.watched.map((server) => [server, watch.state(server)])),
    ...components.states(),
  };
}
