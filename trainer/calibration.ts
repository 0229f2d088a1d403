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

/** The temperature with the least cross entropy, between 1/20 and 20, by golden section: the loss is convex in 1/T. */
export function fitTemperature(logits: Float32Array, labels: Int32Array, classes: number): number {
  if (!labels.some((label) => label >= 0)) return 1;
  const loss = (logT: number) => crossEntropy(logits, labels, classes, Math.exp(logT));
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [-Math.log(20), Math.log(20)];
  while (high - low > 1e-3) {
    const [a, b] = [high - ratio * (high - low), low + ratio * (high - low)];
    if (loss(a) <= loss(b)) high = b;
    else low = a;
  }
  return Math.fround(Math.exp((low + high) / 2));
}
