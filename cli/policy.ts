import { Command } from 'commander';
import { withPrepared } from '../app/environment.ts';
import { columns, NOT_YET, print, printText, style, UsageError } from '../app/terminal.ts';
import { adoptPolicy, checkAdoption, policyHistory, policyInForce } from '../operations/policy.ts';
import type { AdoptedPolicy } from '../operations/policy.ts';
import { InputError } from '../producers/inputs.ts';
import { parsePolicy, policyJsonSchema } from '../producers/policy-input.ts';
import type { RoutingPolicy } from '../schemas/types.ts';
import { readJson } from './options.ts';
import { userName } from './user-name.ts';

/** `samvad policy`: shows the routing policy and its history, and adopts another one. */
export function policyCommand(): Command {
  const command = new Command('policy').description('the routing policy: show it, its history, adopt another');
  command
    .command('show')
    .description('the policy in force')
    .option('--json', 'as JSON that `apply` accepts')
    .action(({ json }: { json?: boolean }) =>
      withPrepared(async ({ pool }) => {
        const current = await policyInForce(pool);
        print(json, current, describe(current), 2);
      }),
    );
  command
    .command('history')
    .description('every policy that came into force, oldest first')
    .option('--json', 'one JSON object per line')
    .action(({ json }: { json?: boolean }) =>
      withPrepared(async ({ pool }) => {
        const history = await policyHistory(pool);
        if (json === true) for (const policy of history) printText(JSON.stringify(policy));
        else printText(historyTable(history));
      }),
    );
  command
    .command('apply')
    .description('adopt the policy in a file for conversations that arrive from then on')
    .argument('<file>', 'JSON as `samvad policy schema` describes it, or as `samvad policy show --json` prints it')
    .requiredOption('--reason <text>', 'why, for the history')
    .option('--by <name>', 'the person who decided it', userName())
    .option('--dry-run', 'check the file and send nothing')
    .addHelpText(
      'after',
      `\nSee its effect on past traffic first: samvad replay --policy FILE.json\nThe exit code is ${NOT_YET} when the policy is in the log but not in force after 15 seconds.`,
    )
    .action(async (file: string, options: { reason: string; by: string; dryRun?: boolean }) => {
      const adoption = { policy: await readPolicy(file), adopted_by: options.by, reason: options.reason };
      const outcome = await withPrepared((prepared) =>
        options.dryRun === true ? checkAdoption(prepared.pool, adoption) : adoptPolicy(prepared, adoption),
      ).catch((error: unknown) => {
        if (error instanceof InputError) refuse(error.problems, file);
        throw error;
      });
      printText(OUTCOMES[outcome](adoption.policy.version));
      if (outcome === 'sent') process.exitCode = NOT_YET;
    });
  command
    .command('schema')
    .description('the JSON Schema of a policy file')
    .action(() => printText(JSON.stringify(policyJsonSchema, undefined, 2)));
  return command;
}

const OUTCOMES = {
  new: (version: string) => `${version} is valid and new; nothing was sent.`,
  known: (version: string) => `${version} was adopted before with the same rules; nothing changed.`,
  'in force': (version: string) => `${version} is in force.`,
  sent: (version: string) =>
    `${version} is in the log, but intake or the projection policies has not processed it yet. Are they running? ` +
    'If intake refuses it, `samvad dead-letters list` says why.',
} as const;

/** The policy in a file. @throws UsageError naming the file and each field that is wrong. */
export async function readPolicy(file: string): Promise<RoutingPolicy> {
  const json = await readJson(file);
  try {
    return parsePolicy(isShown(json) ? json.policy : json);
  } catch (error) {
    if (error instanceof InputError) refuse(error.problems, file);
    throw error;
  }
}

/** Whether this is the output of `show --json`: a policy with the person who adopted it and the reason. */
function isShown(json: unknown): json is { readonly policy: unknown } {
  return typeof json === 'object' && json !== null && 'policy' in json && 'adopted_by' in json;
}

function refuse(problems: InputError['problems'], file: string): void {
  if (problems.length === 0) return;
  const lines = problems.map(({ field, message }) => `  ${field}: ${message}`);
  throw new UsageError(`${file} is not a policy that can be adopted:\n${lines.join('\n')}`);
}

/** A policy as text for a terminal. */
function describe({ policy, adopted_by, adopted_at, reason }: AdoptedPolicy): string {
  const { version, thresholds, exceptions, audit_share, audit_salt, overlap_share } = policy;
  const rows = [
    ['everything', String(thresholds.trust), String(thresholds.doubt)],
    ...exceptions.map(({ module, intent, language, thresholds: limits }) => [
      [module, intent, language].map((name) => name ?? '*').join(' / '),
      String(limits.trust),
      String(limits.doubt),
    ]),
  ];
  return `${style('bold', version)}  ${adopted_by === null ? '' : `by ${adopted_by} at ${adopted_at ?? ''}: `}${reason}

${columns([['module / intent / language', 'a label above', 'a person first below'], ...rows])}

  audited: ${(100 * audit_share).toFixed(1)} % of what is auto-approved, salt ${audit_salt}
  two answers: ${(100 * overlap_share).toFixed(1)} % of what people see`;
}

function historyTable(history: readonly AdoptedPolicy[]): string {
  const rows = history.map(({ policy, adopted_by, adopted_at, reason }) => [
    policy.version,
    `${String(policy.thresholds.trust)} / ${String(policy.thresholds.doubt)}`,
    String(policy.exceptions.length),
    `${(100 * policy.audit_share).toFixed(1)} %`,
    adopted_by ?? '',
    adopted_at ?? '',
    reason,
  ]);
  return columns([['version', 'trust / doubt', 'exceptions', 'audited', 'by', 'at', 'reason'], ...rows]);
}
