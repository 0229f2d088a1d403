/** Confidence that means what it says: temperature scaling (Guo et al. 2017, arXiv:1706.04599). */
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

/** Automatic labels are believed as if so many audits had found each of them right. docs/training.md has the measurement. */
const PRIOR_AUDITS = 50;

/**
 * What each row counts in the fit of the temperature. Automatic labels are an earlier version's, and the next one nearly
 * always agrees with it; what people were asked about is mostly what was doubtful. Fair to both: what a person said counts
 * 1 / the chance of being asked (Horvitz and Thompson 1952), and all else nothing. Of few audits that would be mostly
 * chance: m of them decide m / (m + 50) of each weight, and 1 the rest.
 */
export function calibrationWeights(rows: readonly Pick<Sample, 'source' | 'reviewPropensity'>[]): Float64Array {
  const fair = rows.map(({ source, reviewPropensity: chance }) => (source === 'human' && chance ? 1 / chance : 0));
  const audits = fair.filter((weight) => weight > 1).length;
  const trust = audits / (audits + PRIOR_AUDITS);
  return Float64Array.from(fair, (weight) => 1 + trust * (weight - 1));
}

/**
 * The temperature that fits best, between 1/20 and 20, by golden section: the loss is convex in 1/T. Of n rows each label
 * counts (n + 1) / (n + 2) and the rest is spread over all, after Platt (1999, "Probabilistic outputs for support vector
 * machines"): a few rows that all were answered right must not make a model that is sure of everything. A row counts as
 * often as `weights` says, once where there are none.
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
 * The loss of the rows whose label is known, added up, as a function of ln T; undefined where there is none. Of a row with scores s:
 * ln Σ exp(s / T) − t / T, where t is (1 − ε) × the label's score + ε × the mean of all, ε = 1 / (rows + 2).
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
