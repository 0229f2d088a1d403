/** Turns the result of training into a model file, and checks that the file gives the trainer's own answers. */
import { probabilities } from './classifier.ts';
import { createEncoder } from './encoder.ts';
import type { EncoderPlaces } from './encoder.ts';
import { loadModel } from './model.ts';
import { ModelRefused } from './onnx-reader.ts';
import { writeModel } from './onnx-writer.ts';
import { defaultSplit } from './split.ts';
import type { Sample } from './split.ts';
import type { EpochReport, TrainingOptions, TrainingOutcome } from './train.ts';

/** Notes on the training in the file. All of them follow from the data and the seed. */
export interface FileNotes {
  readonly options: TrainingOptions;
  readonly parent: string | null;
  readonly split: typeof defaultSplit;
  readonly history: readonly EpochReport[];
}

/** The number of rows whose answers are compared. */
const CHECKED_ROWS = 256;

/**
 * The bytes of the model file; the same outcome and manifest give the same bytes. Loads the file and compares its
 * answers to some of `rows` with the trainer's own numbers.
 * @throws ModelRefused when they differ.
 */
export async function makeModelFile(
  outcome: TrainingOutcome,
  { manifest, parent }: { readonly manifest: unknown; readonly parent: string | null },
  rows: readonly Sample[],
  places: EncoderPlaces = {},
): Promise<Buffer> {
  const { classifier, views, encoder, options, history } = outcome;
  const training: FileNotes = { options, parent, split: defaultSplit, history };
  const bytes = writeModel(classifier, views, { encoder, manifest, training });
  await checkFile(bytes, outcome, rows.slice(0, CHECKED_ROWS), places);
  return bytes;
}

/** Loads the file and compares it with the trainer's own numbers. @throws ModelRefused when they differ. */
async function checkFile(
  bytes: Buffer,
  outcome: TrainingOutcome,
  rows: readonly Sample[],
  places: EncoderPlaces,
): Promise<void> {
  const texts = rows.map(({ text }) => text);
  const model = await loadModel(bytes, places);
  const encoder = await createEncoder(outcome.encoder, places);
  try {
    const [served, own] = [
      await model.probabilities(texts),
      probabilities(outcome.classifier, await encoder.encode(texts)),
    ];
    const worst = own.reduce((most, p, i) => Math.max(most, Math.abs(p - (served[i] ?? Infinity))), 0);
    if (!(worst < 1e-3))
      throw new ModelRefused(`The file's answers differ from the trainer's: a probability differs by ${worst}.`);
  } finally {
    await encoder.close();
    await model.close();
  }
}
