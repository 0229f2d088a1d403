import { Command } from 'commander';
import { contextOf } from '../app/components.ts';
import type { Prepared } from '../app/environment.ts';
import { progress } from '../app/terminal.ts';
import { lastTime } from '../jobs/timetable.ts';
import { missedWeekly, runWeekly } from '../jobs/weekly.ts';
import { carryOutRun } from './train.ts';

interface Options {
  readonly missed?: boolean;
  readonly fromScratch?: boolean;
  readonly json?: boolean;
}

/** `samvad weekly`: runs the weekly job now, as the scheduler does. */
export function weeklyCommand(): Command {
  return new Command('weekly')
    .description(
      'train when enough approved samples are unused (SAMVAD_WEEKLY_MINIMUM, 500), and wait for the run to end',
    )
    .option('--missed', 'only when the job was missed at its last time (SAMVAD_WEEKLY_AT)')
    .option('--from-scratch', 'do not continue from the version in production')
    .option('--json', 'print the run as JSON, null when there is none')
    .addHelpText('after', '\nThe exit code is 1 when a run makes no version, and 0 when none was due.')
    .action((options: Options) => carryOutRun((prepared) => askWeekly(prepared, options), options));
}

async function askWeekly(prepared: Prepared, { missed, fromScratch }: Options): Promise<string | undefined> {
  const now = Date.now();
  const due = lastTime(prepared.config.jobs.weekly, now);
  if (missed === true && (due === undefined || !(await missedWeekly(prepared.pool, due, now)))) {
    progress('No weekly job was missed. Nothing was started.');
    return undefined;
  }
  const how = { now, by: 'samvad weekly', fromScratch: fromScratch === true };
  const { run, said } = await runWeekly(contextOf(prepared, 'weekly'), how);
  progress(run === undefined ? `${said} Nothing was started.` : said);
  return run;
}
