import { Command } from 'commander';
import { contextOf } from '../app/components.ts';
import { findEnvironment, prepare } from '../app/environment.ts';
import { columns, dayOption } from '../app/terminal.ts';
import { runDaily } from '../jobs/daily.ts';
import { failedIn } from '../jobs/steps.ts';

/** `samvad daily`: the daily job now. */
export function dailyCommand(): Command {
  return new Command('daily')
    .description(
      'close the days that are over (UTC): wait for the pipeline, measure, sync, check the threshold, report',
    )
    .option('--date <day>', 'only this day', dayOption)
    .option('--json', 'what became of each step, as JSON')
    .addHelpText(
      'after',
      '\nA day is closed once: the same day again writes the same files. A failed step is named, and the exit code is 1.',
    )
    .action(async ({ date, json }: { date?: string; json?: boolean }) => {
      const prepared = await prepare(await findEnvironment());
      const result = await runDaily(contextOf(prepared, 'daily'), {
        now: Date.now(),
        ...(date !== undefined && { day: date }),
      }).finally(() => prepared.stop());
      if (json === true) process.stdout.write(`${JSON.stringify(result)}\n`);
      else
        process.stdout.write(`${columns(result.steps.map(({ name, outcome, detail }) => [name, outcome, detail]))}\n`);
      if (failedIn(result.steps).length > 0) process.exitCode = 1;
    });
}
