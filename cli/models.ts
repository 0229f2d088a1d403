import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { artifactsOf, onLog } from '../app/environment.ts';
import { columns, print, progress, UsageError } from '../app/terminal.ts';
import { readConfig } from '../config.ts';
import { deploymentOf, rollBack, setTraffic } from '../policy/model-log.ts';
import type { Appended, ModelLog } from '../policy/model-log.ts';
import { percent } from '../policy/percent.ts';
import { offsetsOf } from '../policy/training-run.ts';
import { rolloutOf } from '../policy/trial.ts';
import type { Rollout } from '../policy/trial.ts';
import { topicEnds } from '../runtime/read-topic.ts';
import type { ModelStanding } from '../schemas/types.ts';
import { symbol } from '../stream/projection.ts';
import { topics } from '../topology.ts';
import { readCorpus } from '../trainer/data-set/corpus.ts';
import { checkForeignFile } from '../trainer/external.ts';
import { servingPlaces } from '../trainer/learning/recipe.ts';
import { split } from '../trainer/learning/split.ts';
import type { ModelLogPort } from '../trainer/model-log.ts';
import { percentage } from './options.ts';
import { registerModel, reportSummary, versionSummary } from './register-model.ts';
import { userName } from './user-name.ts';

/** `samvad models`: lists versions, prints their reports, registers another one. */
export function modelsCommand(): Command {
  const command = new Command('models')
    .description('the versions of the model, newest first')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: boolean }) =>
      onLog(async (log) => {
        const now = await log.read();
        const versions = [...now.models.values()].reverse();
        const data = versions.map(({ version, standing }) => ({ version, ...standing, ...rolloutOf(now, version) }));
        print(json, data, versionTable(data));
      }),
    );
  command
    .command('report')
    .description('what a version was trained on, and its test results')
    .argument('<version>', 'such as router-v1.1.0')
    .option('--html <file>', 'write the report as a page to this file; by default it is printed as JSON')
    .action((version: string, { html }: { html?: string }) =>
      onLog(async (log, { config }) => {
        const standing = (await log.read()).models.get(version)?.standing;
        const sha256 = html === undefined ? standing?.report_sha256 : standing?.page_sha256;
        if (sha256 == null)
          throw new UsageError(`There is no report of ${version}; \`samvad models\` lists the versions.`);
        const bytes = await artifactsOf(config).get(sha256);
        if (html === undefined) process.stdout.write(bytes);
        else await writeFile(html, bytes);
      }),
    );
  command
    .command('register')
    .description('register a model file from elsewhere as the next version, tested on labelled texts')
    .argument('<file>', 'an ONNX file as docs/training.md describes it')
    .requiredOption(
      '--data <file>',
      'the JSONL that it was trained on, with the same split as here; it is tested on the test rows, which it must not have seen',
    )
    .option('--json', 'print the report as JSON')
    .action(async (file: string, { data, json }: { data: string; json?: boolean }) => {
      const bytes = await readFile(file);
      const { rows, manifest } = await readCorpus(data);
      const sides = split(rows);
      const lost = await checkForeignFile(bytes, sides.test, servingPlaces(readConfig().training));
      if (lost.length > 0) progress(`The model does not know ${lost.length} of the intents, such as ${lost[0] ?? ''}.`);
      const report = await registerModel({ bytes, sides, manifest }, `models register ${path.basename(file)}`);
      print(json, report, `${reportSummary(report)}\n${versionSummary(report)}`);
    });
  return command;
}

interface ChangeOptions {
  readonly reason: string;
  readonly by: string;
  readonly json?: boolean;
}

/** `samvad promote`: gives traffic to a version by hand. */
export function promoteCommand(): Command {
  return new Command('promote')
    .description('give a version a share of the traffic; at 100 it becomes the production version')
    .argument('<version>', 'such as router-v1.1.0')
    .option('--traffic <percent>', 'share in percent', percentage, 100)
    .option('--reason <text>', 'why, for the record', 'by hand')
    .option('--by <name>', 'the person who decided it', userName())
    .option('--json', 'the resulting deployment, as JSON')
    .action((version: string, { traffic, reason, by, json }: ChangeOptions & { readonly traffic: number }) =>
      onLog(async (log, { servers }) => {
        const ends = offsetsOf(await topicEnds(servers.kafka, topics.conversationEvents.name));
        const models = (now: ModelLog) => setTraffic(now, version, traffic, { by, reason, at: Date.now() }, ends);
        await change(log, (now) => ({ models: models(now) }), json);
      }),
    );
}

/** `samvad rollback`: gives the traffic back to the version before, by hand. */
export function rollbackCommand(): Command {
  return new Command('rollback')
    .description('give the traffic of the version on trial, or in production, back to the version before')
    .argument('[version]', 'by default the version on trial, or else the one in production')
    .option('--reason <text>', 'why, for the record', 'by hand')
    .option('--by <name>', 'the person who decided it', userName())
    .option('--json', 'the resulting deployment, as JSON')
    .action((version: string | undefined, { reason, by, json }: ChangeOptions) =>
      onLog((log) => {
        const decide = (now: ModelLog) => {
          const { production, canary } = deploymentOf(now);
          return { models: rollBack(now, version ?? canary?.version ?? production, { by, reason, at: Date.now() }) };
        };
        return change(log, decide, json);
      }),
    );
}

async function change(log: ModelLogPort, decide: (log: ModelLog) => Appended, json?: boolean): Promise<void> {
  const { production, canary } = deploymentOf(await log.append(decide));
  const trial = canary ? `, ${canary.version} is on trial with ${canary.traffic} % of the traffic` : '';
  print(json, { production, canary: canary ?? null }, `${production} is in production${trial}.`);
}

type Version = ModelStanding & Rollout & { readonly version: string };

/** The table of versions. Below it, why a version on trial keeps its share, and why others are not put on trial. */
export function versionTable(versions: readonly Version[]): string {
  const share = (value: number | null) => (value === null ? '' : percent(value));
  const table = columns([
    ['version', 'status', 'traffic', 'test accuracy', 'in production', 'samples', 'verdict', 'created'],
    ...versions.map((v) => [
      v.version,
      symbol(v.status),
      `${v.traffic_percentage} %`,
      share(v.test_accuracy),
      share(v.production_accuracy),
      v.training_samples,
      v.verdict ?? '',
      new Date(v.created_at).toISOString(),
    ]),
  ]);
  const rollouts = versions.flatMap(({ version, status, judged, no_trial }) => {
    if (no_trial !== null) return `${version}: ${no_trial}`;
    if (status !== 'canary' || judged === null) return [];
    const { verdict, traffic_percentage, labels, at, reasons } = judged;
    const counted = labels > 0 ? ` with ${labels} labels` : ''; // older verdicts do not record them
    return `${version}: ${verdict} at ${traffic_percentage} %${counted}, ${at}. ${reasons.join(' ')}`;
  });
  return [table, ...(rollouts.length > 0 ? ['', ...rollouts] : [])].join('\n');
}
