/** Registers a model that did not come from a training run. */
import { nextVersion, register, ModelLogRefused } from '../policy/model-log.ts';
import type { Act } from '../policy/model-log.ts';
import { nameProblems } from '../policy/validation.ts';
import type { ArtifactStore } from './artifacts.ts';
import { labelName, OUT_OF_SCOPE } from './learning/classifier.ts';
import type { Label } from './learning/classifier.ts';
import type { ModelLogPort } from './model-log.ts';
import { putReport, reportedStanding } from './run-report.ts';
import type { StoredReport } from './run-report.ts';

/** A model and its report. */
export interface ReportedModel {
  readonly bytes: Buffer;
  readonly report: StoredReport;
  /** The manifest of its training data. */
  readonly manifest: { readonly rows: number; readonly sha256: string };
}

/** Checks that conversations may have these labels. @throws ModelLogRefused naming a label that intake would refuse. */
export function checkLabels(labels: Iterable<Label>): void {
  for (const { module, intent } of labels) {
    if (intent === OUT_OF_SCOPE) continue;
    const [problem] = [...nameProblems('intent', intent), ...nameProblems('module', module)];
    if (problem)
      throw new ModelLogRefused(
        `Conversations with the label ${labelName({ module, intent })} would be refused because of its ${problem.field}: ${problem.message} Rename it in the data, and train again.`,
      );
  }
}

/**
 * Registers the model under the next free number, unused by versions and open runs. Returns its report, which contains
 * the number.
 */
export async function registerModel(
  log: ModelLogPort,
  artifacts: Pick<ArtifactStore, 'put'>,
  { bytes, report, manifest }: ReportedModel,
  act: Act,
): Promise<StoredReport> {
  const artifact_sha256 = await artifacts.put(bytes);
  for (;;) {
    const version = nextVersion(await log.read());
    const named = { ...report, version };
    const standing = {
      ...reportedStanding(named, manifest, act.at),
      artifact_sha256,
      ...(await putReport(artifacts, named)),
    };
    const after = await log.append((now) =>
      nextVersion(now) === version ? { models: register(now, version, standing, act) } : {},
    );
    const known = after.models.get(version)?.standing;
    // If this model is not there, another writer took the number. If it is, only the acknowledgement was lost.
    if (known?.report_sha256 === standing.report_sha256 && known.run_id === null) return named;
  }
}
