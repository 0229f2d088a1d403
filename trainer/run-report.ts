/** What is found out about a new model: on the test rows, against production, and what the registry is told. */
import { performance } from 'node:perf_hooks';
import { blankStanding } from '../policy/model-log.ts';
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
import { confusion } from './report.ts';
import type { TrainingReport } from './report.ts';

/** A report, and the version that it compares with; null when nothing was in production that has a file. */
export interface StoredReport extends TrainingReport {
  readonly comparedWith: string | null;
}

/** A version with its model, loaded. */
export interface LoadedVersion {
  readonly version: string;
  readonly model: Model;
}

/** What a report is made of. */
export interface ReportInput {
  readonly version: string;
  /** The model file, and its SHA-256 where that is known. */
  readonly bytes: Uint8Array;
  readonly sha256?: string;
  /** For an encoder that is files. */
  readonly places?: EncoderPlaces;
  /** The version that training was to go on from. */
  readonly wanted?: string | null;
  readonly sides: Split<Sample>;
  readonly manifest: unknown;
  readonly production: LoadedVersion | undefined;
  readonly policy: RoutingPolicy;
  readonly promotion: PromotionPolicy;
}

/** Times of so many test texts are taken. */
const LATENCY_TEXTS = 200;

/** The report on a model as its file serves. @throws ModelRefused when the file is not to be run. */
export async function reportOn(input: ReportInput): Promise<StoredReport> {
  const { version, production, policy, manifest } = input;
  const { train, dev, test, dropCounts } = input.sides;
  const latency = await latencyOf(input);
  const { metadata, judged } = await withModel(input, input.places, async (model) => ({
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

async function withModel<T>(
  { bytes, sha256 }: Pick<ReportInput, 'bytes' | 'sha256'>,
  places: EncoderPlaces | undefined,
  work: (model: Model) => Promise<T>,
): Promise<T> {
  const model = await loadModel(bytes, sha256, places);
  return work(model).finally(() => model.close());
}

/** How long an answer takes, without the embeddings that are kept of texts: nobody has those of what is asked. */
async function latencyOf({ sides, places, ...file }: ReportInput): Promise<Latency | null> {
  const texts = sides.test.slice(0, LATENCY_TEXTS).map(({ text }) => text);
  if (texts.length === 0) return null;
  const uncached = places?.models === undefined ? {} : { models: places.models };
  return withModel(file, uncached, (model) => measureLatency(model, texts, () => performance.now()));
}

/** What the file says of its making. What an external trainer tells of itself has no form that is known here. */
function notesOf({
  encoder,
  towers,
  training,
}: ModelMetadata): Pick<FileNotes, 'history' | 'parent'> & Pick<TrainingReport, 'made'> {
  // A tokenizer has megabytes.
  const told = Object.fromEntries(Object.entries(encoder).filter(([name]) => !name.startsWith('tokenizer')));
  if (towers === undefined) return { history: [], parent: null, made: { encoder: told, external: training ?? {} } };
  const { history = [], parent = null } = (training ?? {}) as Partial<FileNotes>;
  return { history, parent, made: { encoder: told, external: null } };
}

/** The model in production; undefined where another system serves it. @throws ArtifactError when its file is missing. */
export async function loadProduction(
  { models }: ModelLog,
  artifacts: Pick<ArtifactStore, 'get'>,
  places?: EncoderPlaces,
): Promise<LoadedVersion | undefined> {
  const production = [...models.values()].find(({ standing }) => standing.status === 'production');
  const sha256 = production?.standing.artifact_sha256;
  if (!production || sha256 == null) return undefined;
  return { version: production.version, model: await loadModel(await artifacts.get(sha256), sha256, places) };
}

/** The part of a new version's standing that its report tells. */
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
