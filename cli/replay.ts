import { Command } from 'commander';
import { findEnvironment } from '../app/environment.ts';
import { columns, plain, print, progress, style } from '../app/terminal.ts';
import { readConfig } from '../config.ts';
import { whatIf } from '../operations/what-if.ts';
import { SECONDS_PER_ANSWER } from '../policy/kpis.ts';
import type { WhatIfReport, WrongApprovals } from '../policy/what-if.ts';
import { openCodecs } from '../runtime/schema-registry.ts';
import { symbol } from '../stream/projection.ts';
import { topics } from '../topology.ts';
import { count, positive, time } from './options.ts';
import { readPolicy } from './policy.ts';

interface ReplayFlags {
  readonly policy: string;
  readonly from?: Date;
  readonly to?: Date;
  readonly seconds: number;
  readonly examples: number;
  readonly json?: boolean;
}

/** `samvad replay`: reports what another policy would have decided. */
export function replayCommand(): Command {
  return new Command('replay')
    .description('route past conversations with another policy and report what would change; nothing is written')
    .requiredOption('--policy <file>', 'JSON as `samvad policy schema` describes it')
    .option('--from <time>', 'conversations created at or after this RFC 3339 time or date', time)
    .option('--to <time>', 'conversations created before this time', time)
    .option('--seconds <n>', 'time that a person needs for an answer', positive, SECONDS_PER_ANSWER)
    .option('--examples <n>', 'examples of each transition', count, 3)
    .option('--json', 'the report as JSON')
    .action(async ({ policy: file, seconds, from, to, examples, json }: ReplayFlags) => {
      const policy = await readPolicy(file);
      const { servers } = await findEnvironment(readConfig(), { tables: false });
      const codecs = await openCodecs(servers.schemaRegistryUrl, [topics.conversationEvents]);
      progress('Reading the log twice, answers first …');
      const range = { ...(from && { from: from.getTime() }), ...(to && { to: to.getTime() }) };
      const report = await whatIf({ servers, codecs }, { policy, secondsPerAnswer: seconds, examples, ...range });
      print(json, report, render(report), 2);
    });
}

/** The report as text for a terminal. */
export function render({ policy, conversations, transitions, review, wrong }: WhatIfReport): string {
  const moves = transitions.filter(({ from, to }) => from !== to);
  const hours = (n: number) => n.toFixed(1);
  const examples = moves.flatMap(({ from, to, examples: shown }) => [
    `\n${style('bold', `${symbol(from)} → ${symbol(to)}`)}`,
    columns(
      shown.map((e) => [
        e.nlu_confidence?.toFixed(3) ?? '–',
        `${e.nlu_module}/${e.nlu_intent}`,
        e.language,
        plain(e.user_message).slice(0, 60).replaceAll('\n', ' '),
      ]),
    ),
  ]);
  return `${style('bold', `${conversations.toLocaleString('en-IN')} conversations, routed by ${policy} instead`)}

${columns([['it was', 'it would be', 'conversations'], ...transitions.map((t) => [symbol(t.from), symbol(t.to), t.conversations])])}

${columns([
  ['', 'was', 'would be', 'change'],
  [
    'conversations that a person sees',
    review.before.conversations,
    review.after.conversations,
    review.after.conversations - review.before.conversations,
  ],
  [
    `hours of review, ${String(review.seconds_per_answer)} s an answer`,
    hours(review.before.hours),
    hours(review.after.hours),
    hours(review.after.hours - review.before.hours),
  ],
])}

  wrong labels among the auto-approved, estimated from answers to audited and reviewed conversations:
${columns([
  ['was', ...wrongCells(wrong.before)],
  ['would be', ...wrongCells(wrong.after)],
])}
${examples.join('\n')}`;
}

function wrongCells({ auto_approved, unknown, judged, expected, interval }: WrongApprovals): string[] {
  const rest = unknown > 0 ? `; ${unknown} are unknown, because none of their kind was judged` : '';
  if (expected === null || interval === null) return [`of ${auto_approved}: unknown, because none was judged`];
  const [low, high] = interval.map((n) => n.toFixed(0));
  return [
    `${expected.toFixed(0)} of ${String(auto_approved)} (95 %: ${low ?? ''} to ${high ?? ''}), from ${String(judged)} answers${rest}`,
  ];
}
