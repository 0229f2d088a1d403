/** Evaluates a new model on the test rows and against production, and derives the figures for the model log. */
import { blankStanding, productionOf } from '../policy/model-log.ts';
import type { ModelLog } from '../policy/model-log.ts';
import { decidePromotion } from '../policy/promotion.ts';
import type { PromotionPolicy, SliceEvidence } from '../policy/promotion.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import type { ModelStanding } from '../schemas/types.ts';
import type { ArtifactStore } from './artifacts.ts';
import { compare } from './learning/compare.ts';
import type { EncoderPlaces } from './learning/encoder.ts';
import { evaluate, judge, measureLatency } from './learning/evaluate.ts';
import type { Evaluation, Latency } from './learning/evaluate.ts';
import { loadModel } from './learning/model.ts';
import type { Model } from './learning/model.ts';
import type { FileNotes } from './learning/model-file.ts';
import type { ModelMetadata } from './learning/onnx-writer.ts';
import type { Sample, Split } from './learning/split.ts';
import { confusion, reportPage } from './report.ts';
import type { TrainingReport } from './report.ts';

/** A report, and the version it compares with; null when the version in production has no file. */
export interface StoredReport extends TrainingReport {
  readonly comparedWith: string | null;
}

/** A version with its loaded model. */
export interface LoadedVersion {
  readonly version: string;
  readonly model: Model;
}

/** The input of a report. */
export interface ReportInput {
  readonly version: string;
  /** The model file. */
  readonly bytes: Uint8Array;
  /** Folders for an encoder that consists of files. */
  readonly places: EncoderPlaces;
  /** The version that training was supposed to go on from. */
  readonly wanted?: string | null;
  readonly sides: Split<Sample>;
  readonly manifest: unknown;
  readonly production: LoadedVersion | undefined;
  readonly policy: RoutingPolicy;
  readonly promotion: PromotionPolicy;
}

/** The number of test texts for the latency measurement. */
const LATENCY_TEXTS = 200;

/**
 * The report on a model, evaluated from its file as it will be served. @throws ModelRefused when the file must not be
 * served.
 */
export async function reportOn(input: ReportInput): Promise<StoredReport> {
  const { version, production, policy, manifest } = input;
  const { train, dev, test, dropCounts } = input.sides;
  const latency = await latencyOf(input);
  const { metadata, judged } = await withModel(input.bytes, input.places, async (model) => ({
    metadata: model.metadata,
    judged: await judge(model, test),
  }));
  const { history, parent, made } = notesOf(metadata);
  const evaluation = evaluate(judged, policy, latency);
  const against = production && (await judge(production.model, test));
  const comparison = against ? compare(judged, against) : null;
  const slices = slicesOf(evaluation, against ? evaluate(against, policy) : null);
  const evidence = {
    rows: evaluation.rows - evaluation.outOfScopeRows,
    candidateAccuracy: evaluation.accuracy,
    comparison,
    ...slices,
  };
  return {
    version,
    comparedWith: comparison ? (production?.version ?? null) : null,
    parent,
    made,
    passedOver: parent === null ? (input.wanted ?? null) : null,
    rows: { train: train.length, dev: dev.length, test: test.length },
    dropped: dropCounts,
    history,
    evaluation,
    confusion: confusion(judged),
    comparison,
    decision: decidePromotion(evidence, input.promotion),
    manifest,
  };
}

async function withModel<T>(bytes: Uint8Array, places: EncoderPlaces, work: (model: Model) => Promise<T>): Promise<T> {
  const model = await loadModel(bytes, places);
  return work(model).finally(() => model.close());
}

/** The latency per answer, without cached embeddings, because texts in production are new. */
async function latencyOf({ sides, places, bytes }: ReportInput): Promise<Latency | null> {
  const texts = sides.test.slice(0, LATENCY_TEXTS).map(({ text }) => text);
  if (texts.length === 0) return null;
  const uncached = places.models === undefined ? {} : { models: places.models };
  return withModel(bytes, uncached, (model) => measureLatency(model, texts));
}

/** The file's notes on its training. The notes of an external program have no fixed form. */
function notesOf({
  encoder,
  towers,
  training,
}: ModelMetadata): Pick<FileNotes, 'history' | 'parent'> & Pick<TrainingReport, 'made'> {
  // A tokenizer has several megabytes.
  const told = Object.fromEntries(Object.entries(encoder).filter(([name]) => !name.startsWith('tokenizer')));
  if (towers === undefined) return { history: [], parent: null, made: { encoder: told, external: training ?? {} } };
  const { history = [], parent = null } = (training ?? {}) as Partial<FileNotes>;
  return { history, parent, made: { encoder: told, external: null } };
}

/**
 * The model in production; undefined if another system serves that version. @throws ArtifactError when its file is
 * missing.
 */
export async function loadProduction(
  log: ModelLog,
  artifacts: Pick<ArtifactStore, 'get'>,
  places: EncoderPlaces,
): Promise<LoadedVersion | undefined> {
  const production = productionOf(log);
  const sha256 = production?.standing.artifact_sha256;
  if (!production || sha256 == null) return undefined;
  return { version: production.version, model: await loadModel(await artifacts.get(sha256), places) };
}

/** Stores the report, as JSON and as a page. Returns the hashes that the log names them by. */
export async function putReport(
  artifacts: Pick<ArtifactStore, 'put'>,
  report: StoredReport,
): Promise<{ readonly report_sha256: string; readonly page_sha256: string }> {
  return {
    report_sha256: await artifacts.put(Buffer.from(`${JSON.stringify(report, undefined, 1)}\n`)),
    page_sha256: await artifacts.put(Buffer.from(reportPage(report))),
  };
}

/** The part of a new version's standing that comes from its report. */
export function reportedStanding(
  { evaluation, decision, comparedWith }: StoredReport,
  { rows, sha256 }: { readonly rows: number; readonly sha256: string },
  at: number,
): ModelStanding {
  const tested = evaluation.rows > 0;
  return {
    ...blankStanding(at),
    status: decision.verdict === 'reject' ? 'rejected' : 'trained',
    test_accuracy: tested ? evaluation.accuracy : null,
    average_latency_ms: evaluation.latencyMs?.mean ?? null,
    fallback_rate: tested ? evaluation.fallbackRate : null,
    training_samples: rows,
    compared_with: comparedWith,
    verdict: decision.verdict,
    reasons: decision.reasons,
    data_set_sha256: sha256,
  };
}

function slicesOf(
  candidate: Evaluation,
  production: Evaluation | null,
): { intents: readonly SliceEvidence[]; languages: readonly SliceEvidence[] } {
  return {
    intents: Object.entries(candidate.byIntent)
      .filter(([, { rows }]) => rows > 0)
      .map(([name, { rows, recall }]) => ({
        name,
        rows,
        candidate: recall,
        production: production?.byIntent[name]?.recall ?? null,
      })),
    languages: Object.entries(candidate.byLanguage).map(([name, { rows, accuracy }]) => ({
      name,
      rows,
      candidate: accuracy,
      production: production?.byLanguage[name]?.accuracy ?? null,
    })),
  };
}
