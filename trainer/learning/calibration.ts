/** Calibrates confidence by temperature scaling (Guo et al. 2017, arXiv:1706.04599). */
import { softmax } from './classifier.ts';
import type { Sample } from './split.ts';

/** Mean of −ln p(label) over rows whose label is known (not −1). */
export function crossEntropy(logits: Float32Array, labels: Int32Array, classes: number, temperature: number): number {
  const p = softmax(logits, classes, temperature);
  let [sum, rows] = [0, 0];
  labels.forEach((label, row) => {
    if (label < 0) return;
    sum -= Math.log((p[row * classes + label] ?? 0) + 1e-30);
    rows += 1;
  });
  return rows === 0 ? NaN : sum / rows;
}

/** Automatic labels count as if this many audits had confirmed them. docs/training.md has the measurement. */
const PRIOR_AUDITS = 50;

/**
 * The weight of each row in the fit of the temperature. Automatic labels come from an earlier version, and the next one
 * nearly always agrees with them; people were mostly asked about doubtful texts. To correct for both, a human label
 * counts 1 / its probability of being asked (Horvitz and Thompson 1952), and an automatic one nothing. With few audits
 * that would be mostly noise, so m audits determine m / (m + 50) of each weight, and the constant 1 the rest.
 */
export function calibrationWeights(rows: readonly Pick<Sample, 'source' | 'reviewPropensity'>[]): Float64Array {
  const fair = rows.map(({ source, reviewPropensity: chance }) => (source === 'human' && chance ? 1 / chance : 0));
  const audits = fair.filter((weight) => weight > 1).length;
  const trust = audits / (audits + PRIOR_AUDITS);
  return Float64Array.from(fair, (weight) => 1 + trust * (weight - 1));
}

/**
 * The best-fitting temperature, between 1/20 and 20, by golden-section search; the loss is convex in 1/T. With n rows,
 * each label has the target (n + 1) / (n + 2), and the rest is spread over all labels, after Platt (1999,
 * "Probabilistic outputs for support vector machines"): a few rows that are all right must not make the model sure of
 * everything. `weights` are the rows' weights, 1 when absent.
 */
export function fitTemperature(
  logits: Float32Array,
  labels: Int32Array,
  classes: number,
  weights?: Float64Array,
): number {
  const loss = smoothedLoss(logits, labels, classes, weights);
  if (!loss) return 1;
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [-Math.log(20), Math.log(20)];
  let [a, b] = [high - ratio * (high - low), low + ratio * (high - low)];
  let [atA, atB] = [loss(a), loss(b)];
  while (high - low > 1e-3) {
    if (atA <= atB) {
      [high, b, atB] = [b, a, atA];
      a = high - ratio * (high - low);
      atA = loss(a);
    } else {
      [low, a, atA] = [a, b, atB];
      b = low + ratio * (high - low);
      atB = loss(b);
    }
  }
  return Math.fround(Math.exp((low + high) / 2));
}

/**
 * The summed loss of the rows with a known label, as a function of ln T; undefined without such rows. For a row with
 * scores s it is ln Σ exp(s / T) − t / T, where t is (1 − ε) × the label's score + ε × the mean of all, ε = 1 / (rows +
 * 2).
 */
function smoothedLoss(
  logits: Float32Array,
  labels: Int32Array,
  classes: number,
  weights?: Float64Array,
): ((logTemperature: number) => number) | undefined {
  const known = [...labels.keys()].filter((row) => (labels[row] ?? -1) >= 0);
  if (known.length === 0) return undefined;
  const spread = 1 / (known.length + 2);
  const rows = known.map((row) => {
    const scores = logits.subarray(row * classes, (row + 1) * classes);
    const top = scores.reduce((most, score) => Math.max(most, score), -Infinity);
    const mean = scores.reduce((sum, score) => sum + score, 0) / classes;
    const target = (1 - spread) * (scores[labels[row] ?? 0] ?? 0) + spread * mean - top;
    return { below: scores.map((score) => score - top), target, weight: weights?.[row] ?? 1 };
  });
  return (logTemperature) => {
    const inverse = Math.exp(-logTemperature);
    let loss = 0;
    for (const { below, target, weight } of rows) {
      let total = 0;
      for (const score of below) total += Math.exp(score * inverse);
      loss += weight * (Math.log(total) - target * inverse);
    }
    return loss;
  };
}
