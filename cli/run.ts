import { Command } from 'commander';
import { componentNames, needTables, startComponents } from '../app/components.ts';
import { findEnvironment } from '../app/environment.ts';
import { startHealth } from '../app/health.ts';
import { startHttp } from '../app/http.ts';
import { standBy } from '../app/stand-by.ts';
import { progress, untilStopped } from '../app/terminal.ts';
import { readConfig } from '../config.ts';

/** The name under which `samvad run` starts the HTTP API and the pages. */
const HTTP = 'http';

/** `samvad run`: runs the named components and waits for servers that are down. */
export function runCommand(): Command {
  return new Command('run')
    .description('run components on configured servers until SIGTERM, waiting for servers that are down')
    .argument(
      '<component...>',
      `${componentNames.join(', ')}, pipeline (without services), all, or ${HTTP} (API and pages)`,
    )
    .action(async (names: string[]) => {
      const stopped = untilStopped();
      const ground = standBy(await findEnvironment(readConfig(), { tables: needTables(names) }));
      const components = await startComponents(
        names.filter((name) => name !== HTTP),
        ground,
      );
      const health = await startHealth(ground, components, { withPipeline: names.includes(HTTP) });
      const api = names.includes(HTTP) ? await startHttp(ground, components) : undefined;
      progress(`Running ${names.join(', ')}.`);
      if (health) progress(`Health on ${health.url}/readyz.`);
      if (api) progress(`API and pages on ${api.url}.`);
      await Promise.race([stopped, components.failed, ground.prepared.then(() => stopped)]);
      await api?.stop();
      await health?.stop();
      await components.stop();
      await ground.stop();
    });
}
