import { access, constants, open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { folderOf, onLog } from '../app/environment.ts';
import { liveLine, plain, print, progress, untilStopped, UsageError } from '../app/terminal.ts';
import { readConfig } from '../config.ts';
import { defaultPromotionPolicy } from '../policy/promotion.ts';
import { defaultPolicy } from '../policy/routing.ts';
import { asError, isErrorCode, reasonOf } from '../runtime/reason.ts';
import { hashOf } from '../trainer/artifacts.ts';
import { readCorpus } from '../trainer/data-set/corpus.ts';
import type { Corpus } from '../trainer/data-set/corpus.ts';
import { DATA_SETS } from '../trainer/data-set/data-set-folder.ts';
import { trainExternally } from '../trainer/external.ts';
import type { EncoderPlaces } from '../trainer/learning/encoder.ts';
import { makeModelFile } from '../trainer/learning/model-file.ts';
import { recipeOf } from '../trainer/learning/recipe.ts';
import type { Recipe } from '../trainer/learning/recipe.ts';
import { split, withoutTestTextsOfLog } from '../trainer/learning/split.ts';
import type { Sample, Split } from '../trainer/learning/split.ts';
import { trainInWorker } from '../trainer/learning/train-worker.ts';
import { checkLabels } from '../trainer/register.ts';
import { reportPage } from '../trainer/report.ts';
import { reportOn } from '../trainer/run-report.ts';
import type { StoredReport } from '../trainer/run-report.ts';
import { whole } from './options.ts';
import { registerModel, reportSummary, versionSummary } from './register-model.ts';
import type { JudgedFile } from './register-model.ts';

interface Options {
  readonly output?: string;
  readonly report?: string;
  readonly register?: boolean;
  readonly command?: string;
  readonly encoder?: string;
  readonly epochs?: number;
  readonly seed?: number;
  readonly json?: boolean;
}

/** `samvad train-router`: trains on a file of labelled texts, and registers the model as a version on request. */
export function trainRouterCommand(): Command {
  return new Command('train-router')
    .description('train a model on a JSONL file of labelled texts; needs servers only with --register')
    .argument(
      '[file]',
      'one {"text", "intent", "module", "language"} per line, as `samvad export` writes it; may be .gz',
      'training-data.jsonl',
    )
    .option('--output <file>', 'write the model to this file; router.onnx by default, none with --register')
    .option('--report <file>', 'write the report to this file, as a page (.html) or as JSON')
    .option('--register', 'register the model as a version that can get traffic')
    .option('--command <command>', 'train with this program instead of SAMVAD_TRAINER_COMMAND')
    .option('--encoder <encoder>', 'use this sentence encoder (FOLDER or ID@COMMIT) instead of SAMVAD_ENCODER')
    .option('--epochs <number>', 'at most this many epochs, 1 to 50', whole)
    .option('--seed <number>', 'the same data and seed give the same model file', whole)
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      '\nA tenth of the texts is held back for the test, and a tenth for early stopping and calibration. docs/training.md explains how to use your own encoder or trainer.',
    )
    .action(async (file: string, given: Options) => {
      const options = given.register === true ? given : { output: 'router.onnx', ...given };
      const config = readConfig(undefined, options);
      const recipe = recipeOf(config.training);
      if (recipe.program && (options.epochs ?? options.seed) !== undefined)
        throw new UsageError(
          `--epochs and --seed do not apply to ${recipe.program.command[0]}; put options into its command.`,
        );
      await checkEnds(options);
      const { rows, manifest } = await readCorpus(file);
      if (options.register === true) checkLabels(rows);
      const sides = options.register === true ? withoutTestTextsOfLog(split(rows)) : split(rows);
      const judged = {
        bytes: await trainOn(recipe, sides, manifest, options, folderOf(config, DATA_SETS)),
        sides,
        manifest,
      };
      if (options.output !== undefined) await writeFile(options.output, judged.bytes);
      const report =
        options.register === true
          ? await registerModel(judged, 'train-router').catch(async (error: unknown) => {
              const { output = fallbackOf(judged.bytes) } = options;
              if (options.output === undefined) await writeFile(output, judged.bytes);
              progress(`The model could not be registered. It is in ${output}.`);
              throw error;
            })
          : await reportOnFile(judged, recipe.places);
      if (options.report !== undefined)
        await writeFile(options.report, options.report.endsWith('.html') ? reportPage(report) : JSON.stringify(report));
      print(options.json, report, summary(report, options));
    });
}

/** Checks output folders and servers first, because training may take hours. */
async function checkEnds({ output, report, register: asVersion }: Options): Promise<void> {
  for (const file of [output, report]) if (file !== undefined) await checkWritable(file);
  if (asVersion !== true) return;
  if (output === undefined) await checkWritable(fallbackOf(Buffer.alloc(0)));
  await onLog((log) => log.read());
}

/** Opens the file, or looks at its folder where there is none yet, and changes nothing. */
async function checkWritable(file: string): Promise<void> {
  try {
    await (await open(file, constants.O_WRONLY)).close();
  } catch (error) {
    const why = isErrorCode(error, 'ENOENT') ? await access(path.dirname(file), constants.W_OK).catch(asError) : error;
    if (why !== undefined) throw new UsageError(`${file} can't be written: ${reasonOf(why)}.`, { cause: why });
  }
}

/** Where a model goes that could not be made a version: under its hash, so that it replaces no other. */
function fallbackOf(bytes: Buffer): string {
  return `router-${hashOf(bytes).slice(0, 12)}.onnx`;
}

async function trainOn(
  { program, options, places }: Recipe,
  { train, dev }: Split<Sample>,
  manifest: Corpus['manifest'],
  { epochs, seed, register: asVersion }: Options,
  folder: string,
): Promise<Buffer> {
  const by = program ? ` by ${program.command[0]}` : '';
  progress(`Training on ${train.length} of ${manifest.rows} rows${by}, ${dev.length} to calibrate.`);
  if (program) {
    const stop = new AbortController();
    void untilStopped().then(() => stop.abort(new UsageError(`${program.command[0]} was ended; nothing was written.`)));
    const control = { signal: stop.signal, onLine: (line: string) => liveLine(plain(line)) };
    return trainExternally({ program, train, dev, manifest, folder, places }, control).finally(() => liveLine(''));
  }
  const more = {
    // A later version may continue from this one and is calibrated on these dev rows, so they must not be learned.
    ...(asVersion === true && { learnDev: false }),
    ...(epochs !== undefined && { epochs }),
    ...(seed !== undefined && { seed }),
  };
  const outcome = await trainInWorker(
    { train, dev, options: { ...options, ...more }, places },
    { onEpoch: ({ stage, epoch, epochs: most }) => liveLine(`${stage}, epoch ${epoch} of ${most}`) },
  );
  liveLine('');
  return makeModelFile(outcome, { manifest, parent: null }, [...dev, ...train], places);
}

/** The report on a model that is not registered. */
function reportOnFile(file: JudgedFile, places: EncoderPlaces): Promise<StoredReport> {
  const [production, policy, promotion] = [undefined, defaultPolicy, defaultPromotionPolicy];
  return reportOn({ version: 'unregistered', ...file, places, production, policy, promotion });
}

function summary(report: StoredReport, { output, register: asVersion }: Options): string {
  return [
    reportSummary(report),
    ...(output === undefined ? [] : [`The model is in ${output}.`]),
    ...(asVersion === true ? [versionSummary(report)] : []),
  ].join('\n');
}
