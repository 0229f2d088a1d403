/** A model for serving, loaded from the bytes of an ONNX file and run by onnxruntime. */
import * as onnx from 'onnxruntime-node';
import { reasonOf } from '../../runtime/reason.ts';
import { ArtifactError } from '../artifacts.ts';
import { OUT_OF_SCOPE } from './classifier.ts';
import type { Label } from './classifier.ts';
import { createEncoder } from './encoder.ts';
import type { Encoder, EncoderPlaces, Rows } from './encoder.ts';
import { checkModel, ModelRefused } from './onnx-reader.ts';
import type { CheckedModel } from './onnx-reader.ts';
import type { ModelMetadata } from './onnx-writer.ts';
import { EncoderError } from './transformer-encoder.ts';
import type { TransformerConfig } from './transformer-encoder.ts';

/** The answer of a model to one text. */
export interface Answer extends Label {
  /** The probability of the intent, calibrated on held-out rows. */
  readonly confidence: number;
  /** The confidence is below the model's threshold: probably none of its intents applies. */
  readonly outOfScope: boolean;
  /** The runner-up intents, most likely first. */
  readonly runnersUp: readonly (Label & { readonly confidence: number })[];
}

/** A loaded model. `close` it when it is no longer needed. */
export interface Model {
  readonly metadata: ModelMetadata;
  /** One answer per text, in order. */
  readonly classify: (texts: readonly string[]) => Promise<readonly Answer[]>;
  /**
   * The probability of each of `metadata.labels` for each text: texts × labels. @throws ModelRefused when a value is
   * not finite.
   */
  readonly probabilities: (texts: readonly string[]) => Promise<Float32Array>;
  readonly close: () => Promise<void>;
}

/** Texts per graph run, and the most features of a view in it, padding included. Each feature lookup takes some kB. */
const BATCH = 32;
const MAX_FEATURES = 32_768;
const RUNNERS_UP = 3;

/**
 * Loads a model from the bytes of its file; exactly the bytes that were checked are run.
 * @throws ModelRefused with a sentence when the file must not be run.
 */
export async function loadModel(bytes: Uint8Array, places: EncoderPlaces = {}): Promise<Model> {
  const file = checkModel(bytes);
  const encoder = await encoderOf(file, places);
  const session = await createSession(bytes).catch(async (error: unknown) => {
    await encoder.close();
    throw error;
  });
  const close = async () => {
    await session.release();
    await encoder.close();
  };
  try {
    checkInputs(file, encoder);
  } catch (error) {
    await close();
    throw error;
  }
  const probabilities = (texts: readonly string[]) => run(session, encoder, file.metadata.labels.length, texts);
  return {
    metadata: file.metadata,
    probabilities,
    classify: async (texts) => answers(file.metadata, await probabilities(texts)),
    close,
  };
}

/** Whether a model can't be used because its file is missing, damaged or foreign, or its encoder is missing. */
export function isRefusal(error: unknown): error is ArtifactError | ModelRefused {
  return error instanceof ArtifactError || error instanceof ModelRefused;
}

async function createSession(bytes: Uint8Array): Promise<onnx.InferenceSession> {
  try {
    return await onnx.InferenceSession.create(bytes, {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
  } catch (error) {
    throw new ModelRefused(`onnxruntime can't load the file: ${reasonOf(error)}.`, { cause: error });
  }
}

/**
 * The encoder that the model was trained with.
 * @throws ModelRefused when it can't be created here, or is not pinned: each server would then download the hub's
 * current version.
 */
async function encoderOf({ metadata: { encoder } }: CheckedModel, places: EncoderPlaces): Promise<Encoder> {
  try {
    if (encoder.kind === 'transformer' && !isPinned(encoder))
      throw new EncoderError('It does not pin its sentence encoder by SHA-256 and commit.');
    return await createEncoder(encoder, places);
  } catch (cause) {
    const why = cause instanceof EncoderError ? cause.message : `Its encoder can't be made here: ${reasonOf(cause)}.`;
    throw new ModelRefused(why, { cause });
  }
}

function isPinned({ sha256 = '', revision }: TransformerConfig): boolean {
  return /^[0-9a-f]{64}$/.test(sha256) && (revision === undefined || /^[0-9a-f]{40}$/.test(revision));
}

function checkInputs(file: CheckedModel, encoder: Encoder): void {
  const wanted = encoder.views.flatMap(({ name }) => [`${name}.features`, `${name}.values`]);
  const missing = [
    ...wanted.filter((name) => !file.inputs.includes(name)),
    ...file.inputs.filter((name) => !wanted.includes(name)),
  ];
  if (missing.length > 0 || !file.outputs.includes('probabilities'))
    throw new ModelRefused(
      `Its inputs and outputs do not fit its encoder (${[...missing, ...file.outputs].join(', ')}).`,
    );
}

async function run(
  session: onnx.InferenceSession,
  encoder: Encoder,
  labels: number,
  texts: readonly string[],
): Promise<Float32Array> {
  const result = new Float32Array(texts.length * labels);
  // Rows are padded to the longest of their batch, so texts of similar length go together.
  const order = Array.from(texts.keys()).sort((a, b) => (texts[a]?.length ?? 0) - (texts[b]?.length ?? 0) || a - b);
  for (let start = 0; start < order.length; start += BATCH) {
    const batch = order.slice(start, start + BATCH);
    const views = await encoder.encode(batch.map((i) => texts[i] ?? '')).catch((cause: unknown) => {
      throw new ModelRefused(`Its encoder can't read a text: ${reasonOf(cause)}.`, { cause });
    });
    const longest = Math.max(...views.map((rows) => longestRow(rows, 0, batch.length)));
    const size = Math.max(1, Math.floor(MAX_FEATURES / longest));
    for (let from = 0; from < batch.length; from += size) {
      const to = Math.min(from + size, batch.length);
      const feeds = Object.fromEntries(encoder.views.flatMap(({ name }, v) => tensors(name, views[v], from, to)));
      const { probabilities } = await session.run(feeds).catch((cause: unknown) => {
        throw new ModelRefused(`onnxruntime can't run its graph: ${reasonOf(cause)}.`, { cause });
      });
      const data = probabilities?.data;
      if (!(data instanceof Float32Array)) throw new ModelRefused('Its output does not consist of 32-bit floats.');
      if (data.length !== (to - from) * labels)
        throw new ModelRefused(`It gives ${data.length} probabilities for ${to - from} texts and ${labels} intents.`);
      if (!data.every(Number.isFinite))
        throw new ModelRefused('Its answers are not probabilities: for one text it gives NaN or Infinity.');
      for (const [row, i] of batch.slice(from, to).entries())
        result.set(data.subarray(row * labels, (row + 1) * labels), i * labels);
    }
  }
  return result;
}

/** The most features of a row from `from` to before `to`; at least 1, because a tensor can't be empty. */
function longestRow({ starts }: Rows, from: number, to: number): number {
  let longest = 1;
  for (let r = from; r < to; r++) longest = Math.max(longest, (starts[r + 1] ?? 0) - (starts[r] ?? 0));
  return longest;
}

/**
 * Rows `from` to before `to` of a view as the two tensors of the graph, texts × longest row. Padding has the value 0.
 */
function tensors(
  name: string,
  rows: Rows | undefined,
  from: number,
  to: number,
): readonly (readonly [string, onnx.Tensor])[] {
  if (!rows) throw new Error(`The encoder made no rows for the view ${name}.`);
  const { starts, indices, values } = rows;
  const [texts, longest] = [to - from, longestRow(rows, from, to)];
  const [features, padded] = [new Int32Array(texts * longest), new Float32Array(texts * longest)];
  for (let r = from; r < to; r++) {
    features.set(indices.subarray(starts[r], starts[r + 1]), (r - from) * longest);
    padded.set(values.subarray(starts[r], starts[r + 1]), (r - from) * longest);
  }
  return [
    [`${name}.features`, new onnx.Tensor('int32', features, [texts, longest])],
    [`${name}.values`, new onnx.Tensor('float32', padded, [texts, longest])],
  ];
}

/** The most likely intents of each row. Out of scope is not an answer: its probability only lowers the others. */
function answers({ labels, threshold }: ModelMetadata, probabilities: Float32Array): readonly Answer[] {
  const inScope = labels.flatMap((label, c) => (label.intent === OUT_OF_SCOPE ? [] : [{ label, c }]));
  return Array.from({ length: probabilities.length / labels.length }, (_, row) => {
    const ranked = inScope
      .map(({ label: { module, intent }, c }) => ({
        module,
        intent,
        confidence: probabilities[row * labels.length + c] ?? 0,
      }))
      .sort((a, b) => b.confidence - a.confidence);
    const [best, ...others] = ranked;
    if (!best) throw new Error('The model has no intent that is in scope.');
    return { ...best, outOfScope: best.confidence < threshold, runnersUp: others.slice(0, RUNNERS_UP) };
  });
}
