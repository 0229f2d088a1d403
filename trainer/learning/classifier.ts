/**
 * The classifier as a value: the result of training, the content of the ONNX file, and the start of incremental
 * training.
 */
import type { Rows } from './encoder.ts';
import { scores } from './tower.ts';
import type { Tower } from './tower.ts';
import { weigh } from './vocabulary.ts';
import type { Vocabulary } from './vocabulary.ts';

/** The intent of rows that belong to no other intent. As a class, it only lowers the confidence of the others. */
export const OUT_OF_SCOPE = 'out_of_scope';

/** A label: an intent within a module. */
export interface Label {
  readonly module: string;
  readonly intent: string;
}

/** Independently trained towers that vote: their scores are averaged, then divided by the temperature. */
export interface Classifier {
  readonly labels: readonly Label[];
  /** One per view of the encoder. */
  readonly vocabularies: readonly Vocabulary[];
  readonly towers: readonly Tower[];
  /** Above 1 makes confidences smaller (Guo et al. 2017, arXiv:1706.04599). */
  readonly temperature: number;
  /** Answers with a lower confidence count as out of scope. */
  readonly threshold: number;
}

/** The unique name of a label within a model. Slashes in the module are escaped, so that no two labels share a name. */
export function labelName({ module, intent }: Label): string {
  return `${module.replace(/[%/]/g, encodeURIComponent)}/${intent}`;
}

/** Probabilities of every label for each row, rows × labels. */
export function probabilities(classifier: Classifier, encoded: readonly Rows[]): Float32Array {
  const weighed = encoded.map((rows, i) => weigh(rows, vocabulary(classifier, i)));
  return softmax(vote(classifier.towers, weighed), classifier.labels.length, classifier.temperature);
}

function vocabulary({ vocabularies }: Classifier, view: number): Vocabulary {
  const found = vocabularies[view];
  if (!found) throw new Error(`The classifier has no vocabulary for view ${view}.`);
  return found;
}

/** Mean scores of the towers, rows × classes. */
export function vote(towers: readonly Tower[], weighed: readonly Rows[]): Float32Array {
  const sum = new Float32Array(((weighed[0]?.starts.length ?? 1) - 1) * (towers[0]?.classes ?? 0));
  for (const tower of towers) scores(tower, weighed).forEach((score, i) => (sum[i] = (sum[i] ?? 0) + score));
  return sum.map((score) => score / towers.length);
}

/** Converts `logits` (rows × classes) to probabilities at the given temperature. */
export function softmax(logits: Float32Array, classes: number, temperature: number): Float32Array {
  const result = new Float32Array(logits.length);
  for (let start = 0; start < logits.length; start += classes) {
    const row = logits.subarray(start, start + classes);
    const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const powers = row.map((score) => Math.exp((score - top) / temperature));
    const total = powers.reduce((a, b) => a + b, 0);
    for (let c = 0; c < classes; c++) result[start + c] = (powers[c] ?? 0) / total;
  }
  return result;
}
