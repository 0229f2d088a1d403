/** Which features of a view a model knows, and how much each says: inverse document frequency, learned from training texts. */
import type { Rows } from './encoder.ts';

/** The features known in one view. Row 0 stands for all the others and weighs nothing. */
export interface Vocabulary {
  /** Feature → row; 0 where the model does not know the feature. */
  readonly rowOf: Int32Array;
  /** Weight of each row. */
  readonly idf: Float32Array;
}

/**
 * Learns the features of `rows`; the `limit` most frequent ones where there are more.
 * Weights are ln((1 + texts) / (1 + texts with it)) + 1, as in scikit-learn's TfidfVectorizer with smooth_idf.
 * Features of `previous` keep their rows and weights, so that what was learned about them stays true.
 */
export function learnVocabulary(rows: Rows, width: number, limit: number, previous?: Vocabulary): Vocabulary {
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
  return { rowOf, idf };
}

/** The rows with known features only, weighted and scaled to length 1. A row without known features stays empty. */
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
