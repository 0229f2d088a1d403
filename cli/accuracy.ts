import { Command } from 'commander';
import { withPrepared } from '../app/environment.ts';
import { columns, print, style, UsageError } from '../app/terminal.ts';
import { dayOf } from '../kpi/day.ts';
import { ACCURACY_DAYS, accuracyRange, readAccuracy } from '../kpi/read-accuracy.ts';
import type { AccuracyReport, AccuracySlice } from '../kpi/read-accuracy.ts';
import { agreementInWords } from '../policy/agreement.ts';
import type { ProductionAccuracy } from '../policy/audit.ts';
import { percent } from '../policy/percent.ts';
import { day } from './options.ts';

interface Options {
  readonly from?: string;
  readonly to?: string;
  readonly version?: string;
  readonly json?: boolean;
}

/** `samvad accuracy`: how often the answers in production are right. */
export function accuracyCommand(): Command {
  return new Command('accuracy')
    .description(
      'production accuracy by version, predicted intent and language, corrected for which conversations people see',
    )
    .option('--from <day>', `first day (UTC) of the conversations; ${ACCURACY_DAYS} days by default`, day)
    .option('--to <day>', 'last day; today by default', day)
    .option('--version <version>', 'only answers of this version')
    .option('--json', 'as JSON')
    .action(({ from, to = dayOf(Date.now()), version, json }: Options) => {
      if (from !== undefined && from > to) throw new UsageError(`--from ${from} is after --to ${to}.`);
      return withPrepared(async ({ pool }) => {
        const report = await readAccuracy(pool, {
          ...accuracyRange(to),
          ...(from !== undefined && { from }),
          ...(version !== undefined && { version }),
        });
        print(json, report, render(report));
      });
    });
}

function render({ from, to, all, versions, intents, languages, agreement }: AccuracyReport): string {
  const head = ['', 'corrected', '95 % interval', 'naive', 'overridden', 'answers', 'missing', 'conversations'];
  const part = (title: string, slices: readonly AccuracySlice[]) =>
    `${style('bold', title)}\n${columns([head, ...slices.map((slice) => row(slice.name, slice))])}\n\n`;
  return (
    `${style('bold', `Accuracy in production, ${from} to ${to} (UTC)`)}\n${columns([head, row('all', all)])}\n\n` +
    part('By version', versions) +
    part('By predicted intent', intents) +
    part('By language', languages) +
    `${agreementInWords(agreement)}\n` +
    'corrected: each answer is weighted by the number of conversations that it represents. naive: the plain share of right\n' +
    'answers, which is too low because people see the doubtful ones. missing: selected for a person, not answered yet.'
  );
}

function row(name: string, { corrected, interval, ...rest }: ProductionAccuracy): readonly (string | number)[] {
  return [
    name,
    percent(corrected),
    `${percent(interval[0])} to ${percent(interval[1])}`,
    percent(rest.naive),
    percent(rest.overrideRate),
    rest.answers,
    rest.missing,
    rest.conversations,
  ];
}
