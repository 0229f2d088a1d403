import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import type { Admin } from 'kafkajs';
import { startComponents } from '../app/components.ts';
import type { RunningComponents } from '../app/components.ts';
import { onLog, withPrepared } from '../app/environment.ts';
import type { Prepared } from '../app/environment.ts';
import { untilPassed } from '../app/lag.ts';
import { liveLine, print, printText, progress, UsageError } from '../app/terminal.ts';
import type { ModelLog } from '../policy/model-log.ts';
import { cancelRun, resumeRun } from '../policy/training-run.ts';
import { whyNoTrial } from '../policy/trial.ts';
import { kafkajsClient } from '../runtime/kafka-clients.ts';
import { mayPass } from '../runtime/may-pass.ts';
import type { RunStanding } from '../schemas/types.ts';
import { aboutEnded, askForRun, countUnused } from '../trainer/ask-for-run.ts';
import { openModelLog } from '../trainer/model-log.ts';
import type { ModelLogPort } from '../trainer/model-log.ts';
import { trainer } from '../trainer/trainer.ts';

const LOOK_MS = 500;
/** A trainer that restarts is away for at most this long: up to 15 s to stop its run, and then its start. */
const RESTART_MS = 30_000;
/** The requester's name in the log. */
const BY = 'samvad train';

interface Options {
  readonly fromScratch?: boolean;
  readonly resume?: string;
  readonly cancel?: string;
  readonly json?: boolean;
}

/** `samvad train`: starts a training run on all samples approved so far. */
export function trainCommand(): Command {
  return new Command('train')
    .description('train on all approved samples and wait for the run to end')
    .option('--from-scratch', 'do not continue from the version in production')
    .option('--resume <run>', 'resume a failed or cancelled run')
    .addOption(new Option('--cancel <run>', 'cancel a run').conflicts(['resume', 'fromScratch']))
    .option('--json', 'print the run as JSON, null when there is none')
    .addHelpText(
      'after',
      '\nA running trainer carries out the run; when there is none, this command trains itself.\n' +
        'The exit code is 1 when the run makes no version because it failed or was cancelled.',
    )
    .action(async (options: Options) => {
      const { cancel } = options;
      if (cancel !== undefined) return onLog((log) => cancelled(log, cancel, options));
      return carryOutRun((prepared, log) => ask(prepared, log, options), options);
    });
}

/**
 * Waits for the end of the run that `ask` returns, and prints the run. When there is none, `ask` has told the user why. The exit
 * code is 1 when the run makes no version.
 */
export async function carryOutRun(
  ask: (prepared: Prepared, log: ModelLogPort) => Promise<string | undefined>,
  options: Pick<Options, 'json'>,
): Promise<void> {
  await withPrepared(async (prepared) => {
    const log = await openModelLog(prepared.servers.kafka, prepared.codecs);
    try {
      const id = await ask(prepared, log);
      if (id === undefined) {
        if (options.json === true) printText('null');
        return;
      }
      const now = await carryOut(prepared, log, id);
      show(id, now, options);
      if (now.runs.get(id)?.status !== 'finished') process.exitCode = 1;
    } finally {
      await log.close();
    }
  });
}

/** Cancels a run. Postgres is not needed for that. */
async function cancelled(log: ModelLogPort, id: string, options: Options): Promise<void> {
  show(id, await log.append((now) => cancelRun(now, id, { by: BY, at: Date.now() })), options);
}

function show(id: string, log: ModelLog, { json }: Pick<Options, 'json'>): void {
  const run = log.runs.get(id);
  if (!run) throw new UsageError(`There is no run ${id}.`);
  print(json, { id, ...run }, runSummary(id, run, log));
}

/** Requests the run in the log. Returns its id, or undefined when there is nothing to do. */
async function ask(prepared: Prepared, log: ModelLogPort, options: Options): Promise<string | undefined> {
  const by = { by: BY, at: Date.now() };
  const { resume, fromScratch = false } = options;
  if (resume !== undefined) {
    await log.append((now) => resumeRun(now, resume, by));
    return resume;
  }
  return askForAll(prepared, log, fromScratch);
}

/** Requests a run on all approved samples, once the pipeline has processed the records that are in the log now. */
async function askForAll(prepared: Prepared, log: ModelLogPort, fromScratch: boolean): Promise<string | undefined> {
  await untilPassed(prepared.servers, prepared.pool);
  const all = await countUnused({ kafka: prepared.servers.kafka, codecs: prepared.codecs }, log);
  const wish = { trigger: 'manual', atLeast: fromScratch ? 0 : 1, fromScratch, by: BY } as const;
  const asked = await askForRun(log, all, wish);
  const { run } = asked;
  const none = `There are no ${fromScratch ? 'approved' : 'unused approved'} samples, and a run needs 1. Nothing was started.`;
  if (run === undefined || asked.ended !== undefined)
    progress(`${run === undefined ? none : `Asked for the run ${run}.`}${aboutEnded(asked)}`);
  return run;
}

/** Follows the run to its end and returns the log. Trains here only when no trainer runs, because a running one may have other settings. */
async function carryOut(prepared: Prepared, log: ModelLogPort, id: string): Promise<ModelLog> {
  const admin = kafkajsClient(prepared.servers.kafka, 'samvad-train').admin();
  let own: RunningComponents | undefined;
  try {
    await admin.connect();
    for (let seenAt = Date.now(); ;) {
      const now = await log.read();
      const run = now.runs.get(id);
      if (run?.status !== 'requested' && run?.status !== 'running') return now;
      liveLine(`${id}: ${run.stage ?? run.status}${run.epochs > 0 ? `, epoch ${run.epoch} of ${run.epochs}` : ''}`);
      if (!own) {
        const trainers = await lookForTrainers(admin);
        if (trainers === 'running') seenAt = Date.now();
        else if (trainers === 'none' || Date.now() - seenAt > RESTART_MS)
          own = await startComponents([trainer.name], prepared);
      }
      await Promise.race([sleep(LOOK_MS), ...(own ? [own.failed] : [])]);
    }
  } finally {
    liveLine('');
    await own?.stop();
    await admin.disconnect();
  }
}

/**
 * Whether a trainer runs somewhere, or did a short while ago: the group has no offsets, so Kafka forgets it some minutes after its last
 * member has left. `running` also while Kafka does not answer, because none could start then.
 */
async function lookForTrainers(admin: Admin): Promise<'running' | 'lately' | 'none'> {
  try {
    const { groups } = await admin.describeGroups([trainer.name]);
    if (groups.some(({ members }) => members.length > 0)) return 'running';
    return groups.some(({ state }) => state === 'Empty') ? 'lately' : 'none';
  } catch (error) {
    if (!mayPass(error) || isRefusal(error)) throw error;
    return 'running';
  }
}

/** Whether Kafka would answer the same again, as when the user may not describe the group. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && error.name === 'KafkaJSProtocolError' && 'retriable' in error && !error.retriable;
}

/** The result of a run and what happens to its version, as text. */
export function runSummary(id: string, run: RunStanding, log: ModelLog): string {
  const { status, version, verdict, reasons, failure } = run;
  if (status !== 'finished') return `The run ${id} is ${status}.${failure === null ? '' : ` ${failure}`}`;
  const made = `The run ${id} made ${version ?? ''}: ${verdict ?? ''}. ${reasons.join(' ')}\n`;
  if (verdict !== 'promote')
    return `${made}It gets no traffic; \`samvad models report ${version ?? ''}\` prints its report.`;
  const why = whyNoTrial(log, version ?? '');
  if (why !== undefined) return `${made}${why} The next run learns from the same samples and later ones.`;
  return `${made}The deployment controller puts it on trial; \`samvad models\` shows it.`;
}
