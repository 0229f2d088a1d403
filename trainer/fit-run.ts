/** The second step of a run: trains on its rows, here or with an external program, and makes the model file. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { TrainerProgram } from '../config.ts';
import type { ModelLog } from '../policy/model-log.ts';
import { noteRun, Superseded } from '../policy/training-run.ts';
import type { RunStanding, TrainingRunEvent } from '../schemas/types.ts';
import type { ArtifactStore } from './artifacts.ts';
import type { Manifest } from './data-set/data-set.ts';
import { trainExternally } from './external.ts';
import type { ExternalControl } from './external.ts';
import { createEncoder } from './learning/encoder.ts';
import type { EncoderPlaces } from './learning/encoder.ts';
import { makeModelFile } from './learning/model-file.ts';
import type { FileNotes } from './learning/model-file.ts';
import { readClassifier } from './learning/onnx-classifier.ts';
import { checkModel } from './learning/onnx-reader.ts';
import type { Sample, Split } from './learning/split.ts';
import { defaults, TrainingError } from './learning/train.ts';
import type {
  EpochReport,
  TrainingControl,
  TrainingInput,
  TrainingOptions,
  TrainingOutcome,
} from './learning/train.ts';
import { isFull } from './learning/vocabulary.ts';
import type { ModelLogPort } from './model-log.ts';
import { checkLabels } from './register.ts';

/** The connections and settings that training needs. */
export interface FitPorts {
  readonly log: ModelLogPort;
  readonly artifacts: ArtifactStore;
  readonly train: (input: TrainingInput, control: TrainingControl) => Promise<TrainingOutcome>;
  readonly options: TrainingOptions;
  /** Trains with this program instead of `train`. */
  readonly program?: TrainerProgram;
  /** Folders for encoders that consist of files. */
  readonly places: EncoderPlaces;
  readonly onGroup?: ExternalControl['onGroup'];
  /** Where the data set is kept while it is read, and while an external program trains on it. */
  readonly dataSets: string;
  readonly now: () => number;
}

/** A run and its rows. */
export interface RunData {
  readonly id: string;
  readonly run: RunStanding;
  readonly manifest: Manifest;
  readonly sides: Split<Sample>;
}

/** The interval between notes of progress. */
const PROGRESS_MS = 1000;
/** How often the trainer checks whether the run was cancelled or taken over. */
const LOOK_MS = 1000;

/**
 * Trains the model of a run, and returns the bytes of its file. Notes the progress in the log.
 * @throws TrainingError when there is nothing to train on. @throws Superseded when the run is no longer this trainer's.
 * @throws the signal's reason when aborted.
 */
export async function trainFile(
  { id, run, manifest, sides }: RunData,
  ports: FitPorts,
  signal: AbortSignal,
): Promise<Buffer> {
  const left = Object.entries(sides.dropCounts)
    .filter(([, rows]) => rows > 0)
    .map(([reason, rows]) => `${rows} ${reason.replaceAll('-', ' ')}`);
  if (sides.train.length === 0)
    throw new TrainingError(
      `There is nothing to train on: of ${manifest.rows + (sides.dropCounts['labelled-by-a-version-rolled-back'] ?? 0)} samples, ${sides.dev.length + sides.test.length} are reserved for testing and calibration${left.length > 0 ? `, and these are left out: ${left.join(', ')}` : ''}. Approve some conversations, then resume the run.`,
    );
  const ours = async () => noteRun(await ports.log.read(), id, run.attempt, {}, {}, ports.now());
  const progress = (report: EpochReport) =>
    ports.log.append((before) => ({
      runs: [noteRun(before, id, run.attempt, progressOf(report), { progressed: lossesOf(report) }, ports.now())],
    }));
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
async function previousOf(run: RunStanding, { models }: ModelLog, { artifacts, options, places }: FitPorts) {
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

function progressOf({ stage, epoch, epochs }: EpochReport): Partial<RunStanding> {
  return { stage, epoch, epochs };
}

function lossesOf({ trainLoss, devLoss, devAccuracy }: EpochReport): TrainingRunEvent['progressed'] {
  return { train_loss: trainLoss, dev_loss: devLoss, dev_accuracy: devAccuracy };
}
