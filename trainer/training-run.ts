/**
 * Executes one training run, from its data set to the registered version. Each step is noted in the model log with its
 * result, so that the next attempt skips finished steps; a repeated step gives the same bytes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { TrainerProgram } from '../config.ts';
import { nextVersion, register, ModelLogRefused, rolledBack } from '../policy/model-log.ts';
import type { ModelLog } from '../policy/model-log.ts';
import type { PromotionPolicy } from '../policy/promotion.ts';
import { failRun, giveBackRun, noteRun, offsetsOf, startRun, Superseded, watermarkOf } from '../policy/training-run.ts';
import type { Watermark } from '../policy/trigger.ts';
import { mayPass } from '../runtime/may-pass.ts';
import type { ModelStanding, RoutingPolicy, RunStanding, TrainingRunEvent } from '../schemas/types.ts';
import { ArtifactError } from './artifacts.ts';
import type { ArtifactStore } from './artifacts.ts';
import { buildDataSet, inTurns } from './data-set/data-set.ts';
import type { Manifest, PlacedSample } from './data-set/data-set.ts';
import { trainExternally } from './external.ts';
import type { ExternalControl } from './external.ts';
import { createEncoder } from './learning/encoder.ts';
import type { EncoderPlaces } from './learning/encoder.ts';
import { makeModelFile } from './learning/model-file.ts';
import type { FileNotes } from './learning/model-file.ts';
import { readClassifier } from './learning/onnx-classifier.ts';
import { checkModel, ModelRefused } from './learning/onnx-reader.ts';
import { split } from './learning/split.ts';
import type { Sample, Split } from './learning/split.ts';
import { defaults, TrainingError } from './learning/train.ts';
import type {
  EpochReport,
  TrainingControl,
  TrainingInput,
  TrainingOptions,
  TrainingOutcome,
} from './learning/train.ts';
import { EncoderError } from './learning/transformer-encoder.ts';
import { isFull } from './learning/vocabulary.ts';
import type { ModelLogPort } from './model-log.ts';
import { reportPage } from './report.ts';
import { checkLabels } from './register.ts';
import { rowLimit } from './row-limit.ts';
import { loadProduction, reportedStanding, reportOn } from './run-report.ts';
import type { StoredReport } from './run-report.ts';

/** The connections and settings of a run. */
export interface RunPorts {
  readonly log: ModelLogPort;
  readonly artifacts: ArtifactStore;
  /** The records of training-samples below the watermark, in offset order within each partition. */
  readonly samples: (upTo: Watermark) => AsyncIterable<PlacedSample>;
  readonly train: (input: TrainingInput, control: TrainingControl) => Promise<TrainingOutcome>;
  readonly policy: () => Promise<RoutingPolicy>;
  readonly promotion: PromotionPolicy;
  readonly options: TrainingOptions;
  /** Trains with this program instead of `train`. */
  readonly program?: TrainerProgram;
  /** Folders for encoders that consist of files. */
  readonly places: EncoderPlaces;
  readonly onGroup?: ExternalControl['onGroup'];
  readonly codeVersion: string;
  /** Where the data set is kept while it is read, and while an external program trains on it. */
  readonly dataSets: string;
  /** Names this trainer in the log. */
  readonly trainer: string;
  readonly now: () => number;
  /** `MAX_ROWS` where absent. */
  readonly maxRows?: number;
  /** Called when a step is done and noted; a test ends the trainer here. */
  readonly onStep?: (step: 'started' | 'data-set' | 'trained' | 'evaluated' | 'registered') => void;
}

/** Errors whose message is a sentence for the person who started the run. */
const FORESEEN = [TrainingError, EncoderError, ModelRefused, ArtifactError, ModelLogRefused];
/** The interval between notes of progress. */
const PROGRESS_MS = 1000;
/** How often the trainer checks whether the run was cancelled or taken over. */
const LOOK_MS = 1000;

/**
 * Takes up the run and executes it to its end, which may be a noted failure. Returns its standing.
 * @throws the signal's reason when aborted. @throws Transient for temporary failures such as Kafka's; the run is then
 * taken up again.
 */
export async function executeRun(id: string, ports: RunPorts, signal: AbortSignal): Promise<RunStanding | undefined> {
  const { log, now } = ports;
  const started = (await log.append((before) => startRun(before, id, ports.trainer, now()))).runs.get(id);
  if (started?.status !== 'running') return started;
  const attempt = started.attempt;
  const fail = async (error: unknown) => {
    const foreseen = FORESEEN.some((kind) => error instanceof kind);
    if (signal.aborted || error instanceof Superseded || (!foreseen && mayPass(error))) throw error;
    // An unexpected error would recur in every attempt and end the trainer each time, so it fails the run too.
    const reason = foreseen ? (error as Error).message : `Unexpected error: ${String(error)}`;
    await log.append((before) => failRun(before, id, attempt, reason, now()));
  };
  try {
    ports.onStep?.('started');
    await steps(id, started, ports, signal).catch(fail);
  } catch (error) {
    if (!signal.aborted && !(error instanceof Superseded)) throw error;
    // If Kafka does not answer, nothing is noted, and the attempt counts like one that was killed.
    await log.append((before) => giveBackRun(before, id, attempt, ports.trainer, now())).catch(() => undefined);
    signal.throwIfAborted();
  }
  return (await log.read()).runs.get(id);
}

interface Rows extends Sample {
  readonly seen: boolean;
}

async function steps(id: string, run: RunStanding, ports: RunPorts, signal: AbortSignal): Promise<void> {
  const { log, now } = ports;
  const note = (
    decide: (log: ModelLog) => Partial<RunStanding>,
    kind: Partial<Pick<TrainingRunEvent, 'progressed'>> = {},
  ): Promise<ModelLog> =>
    log.append((before) => ({ runs: [noteRun(before, id, run.attempt, decide(before), kind, now())] }));

  // 1. The data set, from the log.
  const { manifest, erasedSince, sides } = await readRows(run, await log.read(), ports, signal);
  const changed = run.data_set_sha256 !== null && run.data_set_sha256 !== manifest.sha256;
  if (changed && erasedSince === 0)
    throw new TrainingError(
      `The log gives another data set (${manifest.sha256}) than in an earlier attempt (${run.data_set_sha256}).`,
    );
  // Results that contain text erased since are made again without it.
  const anew = changed ? { artifact_sha256: null, report_sha256: null, page_sha256: null } : {};
  const dataSet = { data_set_sha256: manifest.sha256, manifest: JSON.stringify(manifest) };
  await note(() => ({ ...dataSet, ...anew, stage: 'fit' }));
  ports.onStep?.('data-set');

  // 2. The model file, unless an earlier attempt made it.
  let trained = { ...run, ...anew };
  if (trained.artifact_sha256 === null || !(await ports.artifacts.has(trained.artifact_sha256))) {
    const bytes = await trainFile(id, run, manifest, sides, ports, signal, (report) =>
      note(() => progressOf(report), { progressed: lossesOf(report) }),
    );
    const sha256 = await ports.artifacts.put(bytes);
    const after = await note((before) => ({
      artifact_sha256: sha256,
      // A report on another file is not valid for this one.
      ...(sha256 !== before.runs.get(id)?.artifact_sha256 && { report_sha256: null, page_sha256: null }),
      version: run.version ?? nextVersion(before),
      stage: 'evaluate',
    }));
    trained = after.runs.get(id) ?? run;
  }
  ports.onStep?.('trained');

  // 3. The report, on the file as it will be served, under a version number that is still free.
  const taken = (await log.read()).models.get(trained.version ?? '');
  if (taken && taken.standing.run_id !== id)
    trained =
      (await note((before) => ({ version: nextVersion(before), report_sha256: null, page_sha256: null }))).runs.get(
        id,
      ) ?? trained;
  if (trained.report_sha256 === null || !(await ports.artifacts.has(trained.report_sha256))) {
    signal.throwIfAborted();
    const report = await reportOnRun(trained, manifest, sides, await log.read(), ports);
    const report_sha256 = await ports.artifacts.put(Buffer.from(`${JSON.stringify(report, undefined, 1)}\n`));
    const page_sha256 = await ports.artifacts.put(Buffer.from(reportPage(report)));
    const { verdict, reasons } = report.decision;
    trained = (await note(() => ({ report_sha256, page_sha256, verdict, reasons }))).runs.get(id) ?? trained;
  }
  ports.onStep?.('evaluated');

  // 4. The version and the end of the run, in one transaction.
  const report = JSON.parse((await ports.artifacts.get(trained.report_sha256 ?? '')).toString()) as StoredReport;
  await log.append((before) => {
    const at = now();
    const version = trained.version ?? nextVersion(before);
    const finished = noteRun(
      before,
      id,
      run.attempt,
      { status: 'finished', stage: null, finished_at: at },
      { finished: { version } },
      at,
    );
    return {
      runs: [finished],
      models: register(before, version, standingOf(id, trained, report, manifest, at), {
        by: ports.trainer,
        reason: '',
        at,
      }),
    };
  });
  ports.onStep?.('registered');
}

async function readRows(
  run: RunStanding,
  log: ModelLog,
  ports: RunPorts,
  signal: AbortSignal,
): Promise<{ manifest: Manifest; erasedSince: number; sides: Split<Rows> }> {
  const upTo = watermarkOf(run.watermark);
  // Fixed by the first noted manifest, so that every attempt makes the same data set.
  const noted = run.manifest === null ? undefined : (JSON.parse(run.manifest) as Manifest);
  const request = { dataSet: run.data_set, upTo, rolledBack: noted ? noted.rolled_back : rolledBack(log) };
  const dataSet = await buildDataSet(request, ports.samples(upTo), ports.codeVersion, {
    folder: ports.dataSets,
    signal,
  });
  try {
    const seenUpTo = watermarkOf(log.models.get(run.parent_version ?? '')?.standing.consumed ?? []);
    const taken = rowLimit(dataSet.manifest.by_intent, ports.maxRows);
    const rows: Rows[] = [];
    for await (const { row, reviewPropensity, partition, offset } of inTurns(dataSet.rows(), signal)) {
      if (!taken(row)) continue;
      const { text, intent, module, language, source } = row;
      const seen = offset < (seenUpTo.get(partition) ?? 0);
      rows.push({ text, intent, module, language, source, reviewPropensity, seen });
    }
    const sides = split<Rows>(rows);
    const dropCounts = {
      ...sides.dropCounts,
      'over-the-limit': dataSet.manifest.rows - rows.length,
      'labelled-by-a-version-rolled-back': dataSet.byRolledBack,
    };
    return { manifest: dataSet.manifest, erasedSince: dataSet.erasedSince, sides: { ...sides, dropCounts } };
  } finally {
    await dataSet.close();
  }
}

async function trainFile(
  id: string,
  run: RunStanding,
  manifest: Manifest,
  sides: Split<Rows>,
  ports: RunPorts,
  signal: AbortSignal,
  progress: (report: EpochReport) => Promise<unknown>,
): Promise<Buffer> {
  const left = Object.entries(sides.dropCounts)
    .filter(([, rows]) => rows > 0)
    .map(([reason, rows]) => `${rows} ${reason.replaceAll('-', ' ')}`);
  if (sides.train.length === 0)
    throw new TrainingError(
      `There is nothing to train on: of ${manifest.rows + (sides.dropCounts['labelled-by-a-version-rolled-back'] ?? 0)} samples, ${sides.dev.length + sides.test.length} are reserved for testing and calibration${left.length > 0 ? `, and these are left out: ${left.join(', ')}` : ''}. Approve some conversations, then resume the run.`,
    );
  const ours = async () => noteRun(await ports.log.read(), id, run.attempt, {}, {}, ports.now());
  const { program, places, dataSets, onGroup } = ports;
  if (program) {
    const { train, dev } = sides;
    const given = { program, train, dev, manifest, folder: dataSets, places };
    const bytes = await whileOurs(ours, signal, (wanted) =>
      trainExternally(given, { signal: wanted, ...(onGroup && { onGroup }) }),
    );
    checkLabels(checkModel(bytes).metadata.labels); // it may bring some that no row has
    return bytes;
  }
  const previous = await previousOf(run, await ports.log.read(), ports);
  const control = new AbortController();
  let noting: Promise<unknown> = Promise.resolve();
  let notedAt = 0;
  const input = {
    train: sides.train,
    dev: sides.dev,
    // The next version goes on from this one and is calibrated on these dev rows, so they must not be trained on.
    options: { learnDev: false, ...ports.options },
    places,
    ...(previous && { previous }),
  };
  const outcome = await whileOurs(ours, signal, (wanted) =>
    ports.train(input, {
      signal: AbortSignal.any([wanted, control.signal]),
      onEpoch(report) {
        if (ports.now() - notedAt < PROGRESS_MS) return;
        notedAt = ports.now();
        noting = noting.then(() => progress(report)).catch((error: unknown) => control.abort(error));
      },
    }),
  );
  await noting;
  control.signal.throwIfAborted();
  const parent = previous ? run.parent_version : null;
  return makeModelFile(outcome, { manifest, parent }, [...sides.dev, ...sides.train], places);
}

/**
 * Runs `work` and aborts it when `ours` throws because the run is no longer this trainer's. Progress notes alone would
 * not notice: an external program notes nothing, and a sentence encoder may work for hours before the first epoch.
 */
async function whileOurs<T>(
  ours: () => Promise<unknown>,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const [over, done] = [new AbortController(), new AbortController()];
  const watch = async () => {
    for (;;) {
      await sleep(LOOK_MS, undefined, { signal: done.signal });
      await ours().catch((error: unknown) => {
        if (error instanceof Superseded) over.abort(error); // other failures of the check may be temporary
      });
    }
  };
  watch().catch(() => undefined);
  try {
    return await work(AbortSignal.any([signal, over.signal]));
  } finally {
    done.abort();
  }
}

/**
 * The classifier to go on from: production's, if it was trained here with the same encoder, without its dev rows, and
 * at least one view has room for new features.
 */
async function previousOf(run: RunStanding, { models }: ModelLog, { artifacts, options, places }: RunPorts) {
  const sha256 = models.get(run.parent_version ?? '')?.standing.artifact_sha256;
  if (sha256 == null) return undefined;
  const file = checkModel(await artifacts.get(sha256));
  if (file.metadata.towers === undefined) return undefined; // made by an external program: it can't be trained further here
  const { options: made, history } = (file.metadata.training ?? {}) as Partial<FileNotes>;
  const refitted = history === undefined || history.some(({ stage }) => stage === 'refit');
  if (made?.learnDev !== false && refitted) return undefined; // it has trained on the rows that calibrate the next version
  const { features, encoder: wanted } = { ...defaults, ...options };
  if (wanted.kind !== file.metadata.encoder.kind) return undefined;
  const encoder = await createEncoder(wanted, places);
  await encoder.close();
  if (!isDeepStrictEqual(encoder.config, file.metadata.encoder)) return undefined;
  const previous = readClassifier(file, encoder.views);
  return previous.vocabularies.every((known) => isFull(known, features)) ? undefined : previous;
}

async function reportOnRun(
  run: RunStanding,
  manifest: Manifest,
  sides: Split<Rows>,
  log: ModelLog,
  ports: RunPorts,
): Promise<StoredReport> {
  const { artifacts, places, promotion } = ports;
  const [version, wanted] = [run.version ?? '', run.parent_version];
  const bytes = await artifacts.get(run.artifact_sha256 ?? '');
  const production = await loadProduction(log, artifacts, places);
  try {
    const policy = await ports.policy();
    return await reportOn({ version, wanted, bytes, places, sides, manifest, production, policy, promotion });
  } finally {
    await production?.model.close();
  }
}

function standingOf(
  runId: string,
  run: RunStanding,
  report: StoredReport,
  manifest: Manifest,
  at: number,
): ModelStanding {
  return {
    ...reportedStanding(report, manifest, at),
    artifact_sha256: run.artifact_sha256,
    report_sha256: run.report_sha256,
    page_sha256: run.page_sha256,
    run_id: runId,
    parent_version: report.parent,
    consumed: offsetsOf(watermarkOf(run.watermark)),
  };
}

function progressOf({ stage, epoch, epochs }: EpochReport): Partial<RunStanding> {
  return { stage, epoch, epochs };
}

function lossesOf({ trainLoss, devLoss, devAccuracy }: EpochReport): TrainingRunEvent['progressed'] {
  return { train_loss: trainLoss, dev_loss: devLoss, dev_accuracy: devAccuracy };
}
