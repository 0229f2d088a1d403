import { Command } from 'commander';
import { withPrepared } from '../app/environment.ts';
import { columns, print, progress, UsageError } from '../app/terminal.ts';
import { openSync } from '../label-studio/label-studio.ts';
import { synchronise } from '../label-studio/sync.ts';

/** `samvad label-studio`: exchanges tasks and answers with Label Studio. */
export function labelStudioCommand(): Command {
  const command = new Command('label-studio').description(
    'synchronise with Label Studio, where people answer as well as in the inbox',
  );
  command
    .command('sync')
    .description('push waiting conversations, fetch answers; the component label-studio does this continuously')
    .option('--take-over', 'take the project over from another installation, which must be stopped')
    .option('--json', 'print what was done as JSON')
    .addHelpText('after', '\nSettings: .env.labelstudio in this folder, made from .env.labelstudio.template.')
    .action(({ json, takeOver = false }: { json?: boolean; takeOver?: boolean }) =>
      withPrepared(async (prepared) => {
        const { labelStudio: config } = prepared.config;
        if (!config)
          throw new UsageError(
            'No Label Studio is configured. Copy .env.labelstudio.template to .env.labelstudio and fill in its address and ' +
              'a token; docs/label-studio.md explains the steps. Without Label Studio, people answer in the inbox only.',
          );
        const sync = openSync({ ...prepared, kafka: prepared.servers.kafka }, config);
        const report = await synchronise(sync, { full: true, takeOver }).finally(() => sync.reviews.close());
        const { warnings, full, ...figures } = report;
        for (const warning of warnings) progress(warning);
        print(json, report, columns(Object.entries({ ...figures, scan: full ? 'all tasks' : 'changes' })));
      }),
    );
  return command;
}
