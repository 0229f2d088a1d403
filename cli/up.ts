import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { startComponents } from '../app/components.ts';
import { startEnvironment } from '../app/environment.ts';
import type { Connected } from '../app/environment.ts';
import { startHttp } from '../app/http.ts';
import { lagLine, readLag } from '../app/lag.ts';
import { standBy } from '../app/stand-by.ts';
import { liveLine, progress, untilStopped } from '../app/terminal.ts';
import { readConfig } from '../config.ts';
import { reasonOf } from '../runtime/reason.ts';

const STATUS_MS = 2000;

/** `samvad up`: runs everything in one process until Ctrl-C. */
export function upCommand(): Command {
  return new Command('up')
    .description('start all components, and embedded servers where none are configured; until Ctrl-C')
    .action(async () => {
      const stopping = new AbortController();
      const stopped = untilStopped().then(() => stopping.abort());
      const environment = await startEnvironment(readConfig(), stopping.signal).catch((error: unknown) => {
        if (!stopping.signal.aborted) throw error;
      });
      if (!environment) return;
      const ground = standBy(environment);
      const components = await startComponents(['all'], ground);
      const http = await startHttp(ground, components).catch(async (error: unknown) => {
        await components.stop();
        await ground.stop();
        throw error;
      });
      const end = Promise.race([stopped, components.failed, environment.failed]);
      try {
        if (await Promise.race([ground.prepared.then(() => true), end.then(() => false)]))
          progress(
            `Samvad is up on ${http.url}. Send traffic with POST ${http.url}/v1/conversations or ` +
              '`npx samvad ingest FILE.jsonl`; stop with Ctrl-C.',
          );
        void showLag(ground, stopping.signal);
        await end;
      } finally {
        stopping.abort();
        progress('Stopping.');
        await http.stop();
        await components.stop();
        await ground.stop();
      }
    });
}

/** Shows the components that are behind in the status line of a terminal until `signal` is aborted. */
async function showLag({ servers, pool }: Pick<Connected, 'servers' | 'pool'>, signal: AbortSignal): Promise<void> {
  if (!process.stderr.isTTY) return;
  for (;;) {
    const line = await readLag(servers, pool).then(
      lagLine,
      (error: unknown) => `The lag is unknown: ${reasonOf(error)}.`,
    );
    if (signal.aborted) return;
    liveLine(line);
    await sleep(STATUS_MS, undefined, { signal }).catch(() => undefined);
  }
}
