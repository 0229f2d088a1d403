import { Command } from 'commander';
import { componentNames, startComponents } from './components.ts';
import { findEnvironment, prepare } from './environment.ts';
import { progress, untilStopped } from './terminal.ts';

/** `samvad run`: some components, against servers that run already. */
export function runCommand(): Command {
  return new Command('run')
    .description('run components against running servers, until SIGTERM')
    .argument('<component...>', `${componentNames.join(', ')}, pipeline (without services), or all`)
    .action(async (names: string[]) => {
      const prepared = await prepare(await findEnvironment());
      const components = await startComponents(names, prepared);
      progress(`Running ${names.join(', ')}.`);
      await Promise.race([untilStopped(), components.failed]);
      await components.stop();
      await prepared.stop();
    });
}
