import { writeFile } from 'node:fs/promises';
import os from 'node:os';
import { Command } from 'commander';
import { nextVersion } from '../policy/model-log.ts';
import type { ModelLog } from '../policy/model-log.ts';
import { defaultPromotionPolicy } from '../policy/promotion.ts';
import { defaultPolicy } from '../policy/routing.ts';
import { policyInForce } from '../status/policy.ts';
import { readCorpus } from '../trainer/corpus.ts';
import type { Corpus } from '../trainer/corpus.ts';
import { makeModelFile } from '../trainer/model-file.ts';
import { openModelLog } from '../trainer/model-log.ts';
import { loadModel } from '../trainer/model.ts';
import { registerModel } from '../trainer/register.ts';
import { reportPage } from '../trainer/report.ts';
import { loadProduction, reportOn } from '../trainer/run-report.ts';
import type { StoredReport } from '../trainer/run-report.ts';
import { split, withoutTestTextsOfLog } from '../trainer/split.ts';
import type { Sample, Split } from '../trainer/split.ts';
import { trainInWorker } from '../trainer/train-worker.ts';
import { artifactsOf, findEnvironment, prepare } from './environment.ts';
import type { Prepared } from './environment.ts';
import { columns, liveLine, percent, progress, UsageError } from './terminal.ts';

interface Options {
  readonly output?: string;
  readonly report?: string;
  readonly register?: boolean;
  readonly epochs?: number;
  readonly seed?: number;
  readonly json?: boolean;
}

/** `samvad train-router`: a model from a file of labelled texts, without the log, or as a version beside those of the log. */
export function trainRouterCommand(): Command {
  return new Command('train-router')
    .description('train a model on a JSONL file of labelled texts; needs no server unless it is to be registered')
    .argument(
      '[file]',
      'one {"text", "intent", "module", "language"} a line, such as `samvad export` writes; may be .gz',
      'training-data.jsonl',
    )
    .option('--output <file>', 'write the model here; router.onnx unless it is to be registered')
    .option('--report <file>', 'write the report here, as a page (.html) or as JSON')
    .option('--register', 'make it a version that can get traffic')
    .option('--epochs <number>', 'at most so many, 1 to 50', whole('--epochs'))
    .option('--seed <number>', 'the same data and seed give the same bytes', whole('--seed'))
    .option('--json', 'print the report as JSON')
    .addHelpText('after', '\nA tenth of the texts is held back to test, and a tenth to stop in time and to calibrate.')
    .action(async (file: string, given: Options) => {
      const options = given.register === true ? given : { output: 'router.onnx', ...given };
      const { rows, manifest } = await readCorpus(file);
      const sides = options.register === true ? withoutTestTextsOfLog(split(rows)) : split(rows);
      const bytes = await trainOn(sides, manifest, options);
      if (options.output !== undefined) await writeFile(options.output, bytes);
      const report =
        options.register === true ? await registered(bytes, sides, manifest) : await judged(bytes, sides, manifest);
      if (options.report !== undefined)
        await writeFile(options.report, options.report.endsWith('.html') ? reportPage(report) : JSON.stringify(report));
      process.stdout.write(options.json === true ? `${JSON.stringify(report)}\n` : summary(report, options));
    });
}

async function trainOn(
  { train, dev }: Split<Sample>,
  manifest: Corpus['manifest'],
  { epochs, seed, register: asVersion }: Options,
): Promise<Buffer> {
  progress(`Training on ${train.length} of ${manifest.rows} rows, ${dev.length} to calibrate.`);
  const options = {
    // The version after this one may go on from it, and is calibrated on these dev rows: they must stay unlearned.
    ...(asVersion === true && { learnDev: false }),
    ...(epochs !== undefined && { epochs }),
    ...(seed !== undefined && { seed }),
  };
  const outcome = await trainInWorker(
    { train, dev, options },
    { onEpoch: ({ stage, epoch, epochs: most }) => liveLine(`${stage}, epoch ${epoch} of ${most}`) },
  );
  liveLine('');
  return makeModelFile(outcome, { manifest, parent: null }, [...dev, ...train]);
}

/** The report on a model that is no version. */
async function judged(bytes: Buffer, sides: Split<Sample>, manifest: Corpus['manifest']): Promise<StoredReport> {
  const model = await loadModel(bytes);
  const [production, policy, promotion] = [undefined, defaultPolicy, defaultPromotionPolicy];
  return reportOn({ version: 'unregistered', model, sides, manifest, production, policy, promotion }).finally(() =>
    model.close(),
  );
}

/** Registers the model, compared with production on the file's test rows. */
async function registered(bytes: Buffer, sides: Split<Sample>, manifest: Corpus['manifest']): Promise<StoredReport> {
  const prepared = await prepare(await findEnvironment());
  const log = await openModelLog(prepared.servers.kafka, prepared.codecs);
  try {
    const before = await log.read();
    const report = await comparedReport(nextVersion(before), bytes, sides, manifest, before, prepared);
    const act = { by: os.userInfo().username, reason: `samvad train-router ${manifest.file}`, at: Date.now() };
    return await registerModel(log, artifactsOf(prepared.config), { bytes, report, manifest }, act);
  } finally {
    await log.close();
    await prepared.stop();
  }
}

async function comparedReport(
  version: string,
  bytes: Buffer,
  sides: Split<Sample>,
  manifest: Corpus['manifest'],
  log: ModelLog,
  prepared: Prepared,
): Promise<StoredReport> {
  const model = await loadModel(bytes);
  const production = await loadProduction(log, artifactsOf(prepared.config));
  try {
    const { policy } = await policyInForce(prepared.pool);
    const promotion = defaultPromotionPolicy;
    return await reportOn({ version, model, sides, manifest, production, policy, promotion });
  } finally {
    await model.close();
    await production?.model.close();
  }
}

function summary({ version, evaluation: e, decision, rows }: StoredReport, { output, register: asVersion }: Options) {
  const figures =
    e.rows === 0
      ? []
      : [
          ['accuracy', percent(e.accuracy)],
          ['macro-F1', percent(e.macroF1)],
          ['calibration error', e.calibrationError.toFixed(3)],
          ['auto-approval', percent(e.autoApprovalRate)],
          ...Object.entries(e.byLanguage).map(([language, slice]) => [
            `accuracy in ${language}`,
            percent(slice.accuracy),
          ]),
        ];
  const where = [
    ...(output === undefined ? [] : [`The model is in ${output}.`]),
    ...(asVersion === true ? [`It is ${version}: ${decision.verdict}. ${decision.reasons.join(' ')}`] : []),
  ];
  return `Tested on ${rows.test} texts that it was not trained on.\n${columns(figures)}\n${where.join('\n')}\n`;
}

function whole(name: string): (text: string) => number {
  return (text) => {
    if (!/^\d+$/.test(text)) throw new UsageError(`${name} is ${text}; it must be a whole number.`);
    return Number(text);
  };
}
