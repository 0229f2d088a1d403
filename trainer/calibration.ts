/** Confidence that means what it says: temperature scaling (Guo et al. 2017, arXiv:1706.04599). */
import { softmax } from './classifier.ts';

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

/**
 * The temperature that fits best, between 1/20 and 20, by golden section: the loss is convex in 1/T. Of n rows each label
 * counts (n + 1) / (n + 2) and the rest is spread over all, after Platt (1999, "Probabilistic outputs for support vector
 * machines"): a few rows that all were answered right must not make a model that is sure of everything.
 */
export function fitTemperature(logits: Float32Array, labels: Int32Array, classes: number): number {
  const known = labels.filter((label) => label >= 0).length;
  if (known === 0) return 1;
  const spread = 1 / (known + 2);
  const loss = (logT: number) =>
    (1 - spread) * crossEntropy(logits, labels, classes, Math.exp(logT)) +
    spread * spreadEntropy(logits, labels, classes, Math.exp(logT));
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [-Math.log(20), Math.log(20)];
  while (high - low > 1e-3) {
    const [a, b] = [high - ratio * (high - low), low + ratio * (high - low)];
    if (loss(a) <= loss(b)) high = b;
    else low = a;
  }
  return Math.fround(Math.exp((low + high) / 2));
}

/** Mean of −ln p over all classes of the rows whose label is known. */
function spreadEntropy(logits: Float32Array, labels: Int32Array, classes: number, temperature: number): number {
  let [sum, rows] = [0, 0];
  labels.forEach((label, r) => {
    if (label < 0) return;
    const row = logits.subarray(r * classes, (r + 1) * classes);
    const top = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const [total, mean] = row.reduce(
      ([powers, scores], score) => [powers + Math.exp((score - top) / temperature), scores + (score - top) / classes],
      [0, 0],
    );
    sum += Math.log(total) - mean / temperature;
    rows += 1;
  });
  return sum / rows;
}
