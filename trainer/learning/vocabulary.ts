/**
 * The features of a view that a model knows and their weights, learned from training texts: inverse document frequency
 * and, with few texts, how strongly a feature points to one intent.
 */
import type { Rows } from './encoder.ts';

/** The known features of one view. Row 0 stands for all unknown features and has weight 0. */
export interface Vocabulary {
  /** Feature → row; 0 for an unknown feature. */
  readonly rowOf: Int32Array;
  /** The weight of each row: inverse document frequency, times certainty if requested. */
  readonly idf: Float32Array;
}

/**
 * Whether a version that goes on from this one could learn no more features, so that those of new words would all map
 * to row 0.
 */
export function isFull({ idf }: Vocabulary, limit: number): boolean {
  return idf.length - 1 >= limit;
}

/**
 * Learns the features of `rows`, at most the `limit` most frequent ones.
 * Weights are ln((1 + texts) / (1 + texts with it)) + 1, as in scikit-learn's TfidfVectorizer with smooth_idf. Features
 * of `previous` keep their rows and weights, so that what was learned about them stays valid. With `labels`, one per
 * text, weights are multiplied by 0.2 + certainty.
 */
export function learnVocabulary(
  rows: Rows,
  width: number,
  limit: number,
  previous?: Vocabulary,
  labels?: { readonly of: Int32Array; readonly classes: number },
): Vocabulary {
  const texts = rows.starts.length - 1;
  const frequency = new Int32Array(width);
  for (const index of rows.indices) frequency[index] = (frequency[index] ?? 0) + 1;
  const known = previous ? previous.idf.length - 1 : 0;
  const fresh = Array.from(frequency.keys()).filter(
    (index) => (frequency[index] ?? 0) > 0 && (previous?.rowOf[index] ?? 0) === 0,
  );
  const kept = fresh
    .sort((a, b) => (frequency[b] ?? 0) - (frequency[a] ?? 0) || a - b)
    .slice(0, Math.max(0, limit - known))
    .sort((a, b) => a - b);
  const rowOf = previous ? previous.rowOf.slice() : new Int32Array(width);
  const idf = new Float32Array(1 + known + kept.length);
  if (previous) idf.set(previous.idf);
  kept.forEach((index, i) => {
    rowOf[index] = 1 + known + i;
    idf[1 + known + i] = Math.log((1 + texts) / (1 + (frequency[index] ?? 0))) + 1;
  });
  if (labels)
    certainties(rows, { rowOf, idf }, labels).forEach((certainty, row) => {
      if (row > known) idf[row] = (idf[row] ?? 0) * (0.2 + certainty);
    });
  return { rowOf, idf };
}

/**
 * How strongly each known feature points to one label: 1 − entropy / ln(labels) over the labels of its texts, plus one
 * virtual text spread evenly over all labels. 0 means no information, 1 certainty; a feature seen once gets about 0.3.
 */
function certainties(
  { starts, indices }: Rows,
  { rowOf, idf }: Vocabulary,
  { of, classes }: { readonly of: Int32Array; readonly classes: number },
): Float32Array {
  const counts = new Map<number, Map<number, number>>();
  of.forEach((label, text) => {
    for (let k = starts[text] ?? 0; k < (starts[text + 1] ?? 0); k++) {
      const row = rowOf[indices[k] ?? 0] ?? 0;
      const byLabel = counts.get(row) ?? new Map<number, number>();
      counts.set(row, byLabel.set(label, (byLabel.get(label) ?? 0) + 1));
    }
  });
  const result = new Float32Array(idf.length);
  for (const [row, byLabel] of counts) {
    const total = 1 + [...byLabel.values()].reduce((a, b) => a + b, 0);
    const surprise = (count: number) => (-(count + 1 / classes) / total) * Math.log((count + 1 / classes) / total);
    const seen = [...byLabel.values()].reduce((sum, count) => sum + surprise(count), 0);
    result[row] = 1 - (seen + (classes - byLabel.size) * surprise(0)) / Math.log(classes);
  }
  return result;
}

/** The rows reduced to known features, weighted and scaled to length 1. A row without known features stays empty. */
export function weigh(rows: Rows, { rowOf, idf }: Vocabulary): Rows {
  const [starts, indices] = [new Int32Array(rows.starts.length), new Int32Array(rows.indices.length)];
  const values = new Float32Array(rows.values.length);
  let length = 0;
  for (let r = 0; r + 1 < rows.starts.length; r++) {
    const start = length;
    let squares = 0;
    for (let k = rows.starts[r] ?? 0; k < (rows.starts[r + 1] ?? 0); k++) {
      const row = rowOf[rows.indices[k] ?? 0] ?? 0;
      if (row === 0) continue;
      const value = (rows.values[k] ?? 0) * (idf[row] ?? 0);
      indices[length] = row;
      values[length++] = value;
      squares += value * value;
    }
    const scale = squares > 0 ? 1 / Math.sqrt(squares) : 0;
    for (let k = start; k < length; k++) values[k] = (values[k] ?? 0) * scale;
    starts[r + 1] = length;
  }
  return { starts, indices: indices.slice(0, length), values: values.slice(0, length) };
}
