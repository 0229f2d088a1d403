import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { startComponents } from '../app/components.ts';
import type { RunningComponents } from '../app/components.ts';
import { producerOptions } from '../app/environment.ts';
import type { Prepared } from '../app/environment.ts';
import { onFreshServers } from '../app/fresh.ts';
import { untilCaughtUp } from '../app/lag.ts';
import { startServing } from '../app/serving.ts';
import { bar, columns, liveLine, print, printText, progress, style } from '../app/terminal.ts';
import { adoptPolicy } from '../operations/policy.ts';
import { deploymentOf, setTraffic } from '../policy/model-log.ts';
import type { ModelLog, ModelRecord } from '../policy/model-log.ts';
import { percent } from '../policy/percent.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import { lastAsked, openRuns } from '../policy/training-run.ts';
import { nextCandidate, whyNoTrial } from '../policy/trial.ts';
import { createConversationProducer } from '../producers/conversation-producer.ts';
import type { Figures } from '../simulation/figures.ts';
import { simulate } from '../simulation/simulate.ts';
import type { Round, SimulationPorts } from '../simulation/simulate.ts';
import { symbol } from '../stream/projection.ts';
import { DATA_SET } from '../topology.ts';
import { readCorpus } from '../trainer/data-set/corpus.ts';
import type { Sample } from '../trainer/learning/split.ts';
import { openModelLog } from '../trainer/model-log.ts';
import { openCounts } from '../trainer/sample-counts.ts';
import { count, share, whole } from './options.ts';
import { readPolicy } from './policy.ts';

const EXAMPLE = path.join(import.meta.dirname, '..', 'examples', 'corpus.jsonl');
const DAYS = 28;
const DAY_MS = 24 * 60 * 60 * 1000;
const LOOK_MS = 100;

interface Options {
  readonly corpus: string;
  readonly conversations?: number;
  readonly round: number;
  readonly threshold: number;
  readonly llmAccuracy: number;
  readonly reviewerErrors: number;
  readonly seed: number;
  readonly rollout?: boolean;
  readonly policy?: string;
  readonly keep?: boolean;
  readonly json?: boolean;
}

/** `samvad simulate`: plays a labelled corpus through the whole training loop on fresh servers. */
export function simulateCommand(): Command {
  return new Command('simulate')
    .description('play a labelled corpus as live traffic and watch the model improve version by version')
    .option('--corpus <file>', 'one {"text", "intent", "module", "language"} per line; may be .gz', EXAMPLE)
    .option('--conversations <number>', 'play only the first lines of the file; all by default', whole)
    .option('--round <number>', 'conversations between two checks for training', count, 300)
    .option('--threshold <number>', 'approved samples that start a training run', count, 600)
    .option('--llm-accuracy <share>', 'how often the simulated LLM is right', share, 0.85)
    .option('--reviewer-errors <share>', 'how often a simulated reviewer is wrong', share, 0.03)
    .option('--seed <number>', 'seed of the order and the random choices', whole, 1)
    .option(
      '--rollout',
      'let the deployment controller roll versions out step by step after the first one; by default a better version gets all traffic at once',
    )
    .option(
      '--policy <file>',
      'routing policy, JSON as `samvad policy schema` describes it; the built-in one by default',
    )
    .option('--keep', 'keep the data folder')
    .option('--json', 'print rounds and versions as JSON')
    .addHelpText(
      'after',
      '\nServers, pipeline, training and serving are real; the LLM and the reviewers are simulated.',
    )
    .action(async (options: Options) => {
      const rows = (await readCorpus(options.corpus)).rows.slice(0, options.conversations);
      const policy = options.policy === undefined ? undefined : await readPolicy(options.policy);
      progress(`Playing ${rows.length} conversations of ${path.basename(options.corpus)}; starting servers.`);
      await onFreshServers(
        'simulation',
        options.keep === true,
        (config) => ({ ...config, training: { ...config.training, threshold: options.threshold } }),
        async (prepared) => {
          const played = await play(prepared, { ...options, rows, policy });
          print(options.json, played, summary(played));
        },
      );
    });
}

interface Play {
  readonly rounds: readonly Round[];
  readonly versions: readonly (Figures & { readonly version: string })[];
  /** The versions at the end. */
  readonly standings: readonly Standing[];
}

interface Standing {
  readonly version: string;
  readonly status: string;
  readonly traffic_percentage: number;
  /** Reasons of the evaluation, of the last verdict on a rollout step, and for not putting the version on trial. */
  readonly reasons: readonly string[];
}

async function play(
  prepared: Prepared,
  {
    policy,
    ...options
  }: Omit<Options, 'policy'> & { readonly rows: readonly Sample[]; readonly policy: RoutingPolicy | undefined },
): Promise<Play> {
  const { servers, pool, codecs } = prepared;
  const components = await startComponents(['pipeline', 'trainer'], prepared);
  let controller: RunningComponents | undefined;
  const serving = startServing(prepared);
  const producer = await createConversationProducer(producerOptions(prepared));
  const log = await openModelLog(servers.kafka, codecs);
  const counts = await openCounts({ kafka: servers.kafka, codecs });
  const ports: SimulationPorts = {
    classifier: serving.classifier,
    policy: serving.policy,
    producer,
    caughtUp: () => Promise.race([untilCaughtUp(servers, pool), components.failed]),
    queue: async () => {
      const { rows } = await pool.query<{ conversation_id: string }>('SELECT conversation_id FROM training_queue');
      return rows.map(({ conversation_id }) => conversation_id);
    },
    async trained() {
      const rest = async () => {
        const { approvals: total } = await counts.read();
        let now = await log.read();
        for (; !atRest(now, total, options.threshold); now = await log.read()) {
          liveLine(`training ${openRuns(now).join(', ')}`);
          await sleep(LOOK_MS);
        }
        liveLine('');
        const best = controller ? undefined : nextCandidate(now);
        if (best !== undefined) {
          const act = { by: 'simulation', reason: 'It is better than production.', at: Date.now() };
          now = await log.append((latest) => ({ models: setTraffic(latest, best, 100, act) }));
        }
        await untilFollowed(serving, now);
        const { production } = deploymentOf(now);
        // The rollout of the first version is judged on labels of its own traffic and would take most of the corpus.
        if (options.rollout === true && now.models.get(production)?.standing.artifact_sha256 != null)
          controller ??= await startComponents(['deployment-controller'], prepared);
        return production;
      };
      return Promise.race([rest(), components.failed]);
    },
  };
  try {
    if (policy) await adoptPolicy(prepared, { policy, adopted_by: 'simulation', reason: 'It is simulated.' });
    const to = Date.now() - DAY_MS;
    const game = simulate({ ...options, from: to - DAYS * DAY_MS, to }, ports);
    const rounds: Round[] = [];
    if (options.json !== true) printText(head());
    for (;;) {
      const next = await game.next();
      if (next.done === true) {
        const versions = [...next.value].map(([version, figures]) => ({ version, ...figures }));
        const now = await log.read();
        return { rounds, versions, standings: [...now.models.values()].map((record) => standingOf(now, record)) };
      }
      rounds.push(next.value);
      if (options.json !== true) printText(line(rounds.length, next.value));
    }
  } finally {
    await counts.close();
    await log.close();
    await producer.close();
    await serving.stop();
    await controller?.stop();
    await components.stop();
  }
}

/** Whether no run is open and `approvals` do not make one due. */
function atRest(log: ModelLog, approvals: number, threshold: number): boolean {
  return openRuns(log).length === 0 && approvals - lastAsked(log, DATA_SET).approvals < threshold;
}

/** Waits until this process serves the production version of the log. */
async function untilFollowed({ classifier, policy }: ReturnType<typeof startServing>, log: ModelLog): Promise<void> {
  const { production, canary } = deploymentOf(log);
  const question = { text: 'where is my order', language: 'en', conversationId: null };
  for (;;) {
    const [answer] = await classifier.classify([question], policy());
    if (answer?.version === production || answer?.version === canary?.version) return;
    await sleep(LOOK_MS);
  }
}

const BAR = 12;

function head(): string {
  const titles = ['right', 'right, model alone', 'LLM fallback', 'people asked'].map((title) => title.padEnd(BAR + 9));
  return `\n${style('bold', [...cells('round', 'version'), ...titles].join(''))}`;
}

function cells(round: string, version: string): readonly [string, string] {
  return [round.padStart(5).padEnd(7), version.padEnd(16)];
}

function line(number: number, { version, accuracy, modelAccuracy, fallback, reviewed }: Round): string {
  const cell = (value: number | null) =>
    value === null ? '–'.padEnd(BAR + 9) : `${bar(value, BAR)} ${percent(value).padStart(7)} `;
  return `${cells(String(number), version).join('')}${[accuracy, modelAccuracy, fallback, reviewed].map(cell).join('')}`;
}

function standingOf(log: ModelLog, record: ModelRecord): Standing {
  const { version, standing, judged } = record;
  const { status, traffic_percentage, reasons } = standing;
  const because = [...reasons, ...(judged?.reasons ?? []), whyNoTrial(log, version) ?? []].flat();
  return { version, status, traffic_percentage, reasons: because };
}

function summary({ versions, standings }: Play): string {
  const ends = standings.map(({ version, status, traffic_percentage, reasons }) => [
    version,
    symbol(status),
    `${traffic_percentage} %`,
    reasons.at(-1) ?? '',
  ]);
  return `\n${style('bold', 'Version by version')}\n${columns([
    ['asked', 'conversations', 'right', 'right, model alone', 'LLM fallback', 'people asked'],
    ...versions.map((v) => [
      v.version,
      v.conversations,
      percent(v.accuracy),
      percent(v.modelAccuracy),
      percent(v.fallback),
      percent(v.reviewed),
    ]),
  ])}\n\n${style('bold', 'At the end')}\n${columns([['version', 'status', 'traffic', 'because'], ...ends])}`;
}
