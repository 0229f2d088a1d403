/** Registers a model file as the next version, without a training run. */
import { artifactsOf, onLog } from '../app/environment.ts';
import { columns } from '../app/terminal.ts';
import { nextVersion } from '../policy/model-log.ts';
import { percent } from '../policy/percent.ts';
import { defaultPromotionPolicy } from '../policy/promotion.ts';
import { readPolicyInForce } from '../trainer/adopted-policy.ts';
import type { Corpus } from '../trainer/data-set/corpus.ts';
import { checkModel } from '../trainer/learning/onnx-reader.ts';
import { recipeOf } from '../trainer/learning/recipe.ts';
import type { Sample, Split } from '../trainer/learning/split.ts';
import { checkLabels, registerModel as registerReported } from '../trainer/register.ts';
import { loadProduction, reportOn } from '../trainer/run-report.ts';
import type { StoredReport } from '../trainer/run-report.ts';
import { userName } from './user-name.ts';

/** A model file, and labelled texts. It must not have been trained on those of the side `test`. */
export interface JudgedFile {
  readonly bytes: Buffer;
  readonly sides: Split<Sample>;
  readonly manifest: Corpus['manifest'];
}

/**
 * Registers the file as the next version, compared with production on the test rows. `command` is recorded as the reason.
 * @throws ModelLogRefused when it has a label that intake refuses.
 */
export async function registerModel({ bytes, sides, manifest }: JudgedFile, command: string): Promise<StoredReport> {
  checkLabels(checkModel(bytes).metadata.labels);
  return await onLog(async (log, { config, servers, codecs }) => {
    const [artifacts, { places }] = [artifactsOf(config), recipeOf(config.training)];
    const before = await log.read();
    const version = nextVersion(before);
    const policy = await readPolicyInForce(servers.kafka, codecs);
    const production = await loadProduction(before, artifacts, places);
    const promotion = defaultPromotionPolicy;
    const report = await reportOn({ version, bytes, places, sides, manifest, production, policy, promotion }).finally(
      () => production?.model.close(),
    );
    const act = { by: userName(), reason: `samvad ${command} ${manifest.file}`, at: Date.now() };
    return registerReported(log, artifacts, { bytes, report, manifest }, act);
  });
}

/** The test results as text. */
export function reportSummary({ evaluation: e, rows }: StoredReport): string {
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
  return `Tested on ${rows.test} texts that the model was not trained on.\n${columns(figures)}`;
}

/** The name of a new version and the decision on it, as text. */
export function versionSummary({ version, decision }: StoredReport): string {
  return `The version is ${version}: ${decision.verdict}. ${decision.reasons.join(' ')}`;
}
