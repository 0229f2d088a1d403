import { Command } from 'commander';
import { contextOf } from '../app/components.ts';
import { withPrepared } from '../app/environment.ts';
import { columns, print } from '../app/terminal.ts';
import { runDaily } from '../jobs/daily.ts';
import { failedIn } from '../jobs/steps.ts';
import { day } from './options.ts';

/** `samvad daily`: runs the daily job once, now. */
export function dailyCommand(): Command {
  return new Command('daily')
    .description(
      'close the days that are over (UTC): wait for the pipeline, measure accuracy, sync with Label Studio, check the training threshold, write reports',
    )
    .option('--date <day>', 'only this day', day)
    .option('--json', 'the outcome of each step, as JSON')
    .addHelpText(
      'after',
      '\nA day is closed once; running it again writes the same files. When a step fails, it is named and the exit code is 1.',
    )
    .action(({ date, json }: { date?: string; json?: boolean }) =>
      withPrepared(async (prepared) => {
        const options = { now: Date.now(), ...(date !== undefined && { day: date }) };
        const result = await runDaily(contextOf(prepared, 'daily'), options);
        print(json, result, columns(result.steps.map(({ name, outcome, detail }) => [name, outcome, detail])));
        if (failedIn(result.steps).length > 0) process.exitCode = 1;
      }),
    );
}
