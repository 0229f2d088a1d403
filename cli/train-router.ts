import { createHash } from 'node:crypto';
import { access, constants, open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { folderOf, onLog } from '../app/environment.ts';
import { liveLine, plain, progress, untilStopped, UsageError } from '../app/terminal.ts';
import { readConfig } from '../config.ts';
import { defaultPromotionPolicy } from '../policy/promotion.ts';
import { defaultPolicy } from '../policy/routing.ts';
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
    .option('--command <command>', 'train with this program, in place of SAMVAD_TRAINER_COMMAND')
    .option('--encoder <encoder>', 'with this sentence encoder (FOLDER or ID@COMMIT), in place of SAMVAD_ENCODER')
    .option('--epochs <number>', 'at most so many, 1 to 50', whole('--epochs'))
    .option('--seed <number>', 'the same data and seed give the same bytes', whole('--seed'))
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      '\nA tenth of the texts is held back to test, and a tenth to stop in time and to calibrate. docs/training.md tells how to bring an encoder or a trainer of your own.',
    )
    .action(async (file: string, given: Options) => {
      const options = given.register === true ? given : { output: 'router.onnx', ...given };
      const config = readConfig(undefined, options);
      const recipe = recipeOf(config.training);
      if (recipe.program && (options.epochs ?? options.seed) !== undefined)
        throw new UsageError(
          `--epochs and --seed are not for ${recipe.program.command[0]}; give it options of its own.`,
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
              progress(`It could not be made a version. The model is in ${output}.`);
              throw error;
            })
          : await reportOnFile(judged, recipe.places);
      if (options.report !== undefined)
        await writeFile(options.report, options.report.endsWith('.html') ? reportPage(report) : JSON.stringify(report));
      process.stdout.write(options.json === true ? `${JSON.stringify(report)}\n` : summary(report, options));
    });
}

/** Training may take hours: what its end needs is looked for first. */
async function checkEnds({ output, report, register: asVersion }: Options): Promise<void> {
  for (const file of [output, report]) if (file !== undefined) await checkWritable(file);
  if (asVersion !== true) return;
  if (output === undefined) await access('.', constants.W_OK);
  await onLog((log) => log.read());
}

/** Opens the file, or looks at its folder where there is none yet, and changes nothing. */
async function checkWritable(file: string): Promise<void> {
  try {
    await (await open(file, constants.O_WRONLY)).close();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    await access(path.dirname(file), constants.W_OK);
  }
}

/** Where a model goes that could not be made a version: under its hash, so that it replaces no other. */
function fallbackOf(bytes: Buffer): string {
  return `router-${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}.onnx`;
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
    // The version after this one may go on from it, and is calibrated on these dev rows: they must stay unlearned.
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

/** The report on a model that is no version. */
function reportOnFile(file: JudgedFile, places: EncoderPlaces): Promise<StoredReport> {
  const [production, policy, promotion] = [undefined, defaultPolicy, defaultPromotionPolicy];
  return reportOn({ version: 'unregistered', ...file, places, production, policy, promotion });
}

function summary(report: StoredReport, { output, register: asVersion }: Options): string {
  const place = output === undefined ? '' : `The model is in ${output}.\n`;
  return `${reportSummary(report)}${place}${asVersion === true ? versionSummary(report) : ''}`;
}

function whole(name: string): (text: string) => number {
  return (text) => {
    if (!/^\d+$/.test(text)) throw new UsageError(`${name} is ${text}; it must be a whole number.`);
    return Number(text);
  };
}
