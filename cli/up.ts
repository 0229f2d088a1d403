import { Command } from 'commander';
import { startComponents } from '../app/components.ts';
import { startEnvironment } from '../app/environment.ts';
import { startHttp } from '../app/http.ts';
import { readLag } from '../app/lag.ts';
import { standBy } from '../app/stand-by.ts';
import { liveLine, progress, untilStopped } from '../app/terminal.ts';
import { readConfig } from '../config.ts';

const STATUS_MS = 2000;

/** `samvad up`: everything in one process, until Ctrl-C. */
export function upCommand(): Command {
  return new Command('up')
    .description('start the servers where none are configured, and every component; until Ctrl-C')
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
      let timer: NodeJS.Timeout | undefined;
      try {
        if (await Promise.race([ground.prepared.then(() => true), end.then(() => false)]))
          progress(
            `Samvad is up on ${http.url}. Send traffic with POST ${http.url}/v1/conversations or ` +
              '`npx samvad ingest FILE.jsonl`; stop with Ctrl-C.',
          );
        timer = setInterval(() => {
          readLag(ground.servers, ground.pool).then(
            (lags) =>
              liveLine(
                lags
                  .map(({ component, end: last, lag }) => `${component} ${String(last - lag)}/${String(last)}`)
                  .join('  '),
              ),
            (error: unknown) => liveLine(`status unknown: ${String(error)}`),
          );
        }, STATUS_MS);
        await end;
      } finally {
        clearInterval(timer);
        progress('\nStopping.');
        await http.stop();
        await components.stop();
        await ground.stop();
      }
    });
}
