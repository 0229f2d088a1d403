/** Measures of a classifier, as functions of its answers and the truth. */
import { tally } from '../../policy/group-by.ts';

/** One answer and the truth. */
export interface Judgement {
  readonly confidence: number;
  readonly correct: boolean;
}

/** How often an intent was predicted, was true, and both. */
export interface IntentScore {
  readonly rows: number;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

/** Precision, recall and F1 of each class of `truth`. For a class that was never predicted, precision and F1 are 0. */
export function scoresByClass(truth: readonly string[], said: readonly string[]): ReadonlyMap<string, IntentScore> {
  const [rows, answers, hits] = [tally(truth), tally(said), tally(truth.filter((name, i) => said[i] === name))];
  return new Map(
    [...rows.entries()].sort(byName).map(([name, total]) => {
      const right = hits.get(name) ?? 0;
      const [precision, recall] = [right / Math.max(1, answers.get(name) ?? 0), right / total];
      const f1 = right === 0 ? 0 : (2 * precision * recall) / (precision + recall);
      return [name, { rows: total, precision, recall, f1 }];
    }),
  );
}

/** One bin of a reliability diagram. */
export interface ReliabilityBin {
  readonly rows: number;
  readonly confidence: number;
  readonly accuracy: number;
}

/** Bins of equal width by confidence, each with its rows, mean confidence and accuracy; empty bins are zeros. */
export function reliability(judgements: readonly Judgement[], bins = 15): readonly ReliabilityBin[] {
  const sums = Array.from({ length: bins }, () => ({ rows: 0, confidence: 0, right: 0 }));
  for (const { confidence, correct } of judgements) {
    const bin = sums[Math.min(bins - 1, Math.floor(confidence * bins))];
    if (!bin) throw new RangeError(`A confidence is ${confidence}; it must be between 0 and 1.`);
    bin.rows += 1;
    bin.confidence += confidence;
    bin.right += correct ? 1 : 0;
  }
  return sums.map(({ rows, confidence, right }) => ({
    rows,
    confidence: rows > 0 ? confidence / rows : 0,
    accuracy: rows > 0 ? right / rows : 0,
  }));
}

/** Mean gap between confidence and accuracy, bins weighted by rows (Guo et al. 2017, arXiv:1706.04599, eq. 3). */
export function expectedCalibrationError(judgements: readonly Judgement[], bins = 15): number {
  const gaps = reliability(judgements, bins).map((bin) => bin.rows * Math.abs(bin.confidence - bin.accuracy));
  return judgements.length === 0 ? 0 : gaps.reduce((a, b) => a + b, 0) / judgements.length;
}

/**
 * The probability that a random element of `high` is above a random element of `low`, ties counting half: the area
 * under the ROC curve, by ranks (Mann and Whitney 1947). NaN when either is empty.
 */
export function auroc(high: readonly number[], low: readonly number[]): number {
  const all = [...high.map((score) => ({ score, up: 1 })), ...low.map((score) => ({ score, up: 0 }))];
  all.sort((a, b) => a.score - b.score);
  let ranks = 0;
  for (let from = 0; from < all.length;) {
    let to = from;
    while (to < all.length && all[to]?.score === all[from]?.score) to += 1;
    const rank = (from + 1 + to) / 2;
    for (let i = from; i < to; i++) ranks += (all[i]?.up ?? 0) * rank;
    from = to;
  }
  return (ranks - (high.length * (high.length + 1)) / 2) / (high.length * low.length);
}

/** The share of `low` below the score that a share `acceptance` of `high` reaches. NaN when either is empty. */
export function recallAtAcceptance(high: readonly number[], low: readonly number[], acceptance: number): number {
  const limit = [...high].sort((a, b) => a - b)[Math.floor(high.length * (1 - acceptance) + 1e-9)] ?? NaN;
  return low.filter((score) => score < limit).length / (Number.isNaN(limit) ? NaN : low.length);
}

/** The smallest value that at least a share `p` of `values` does not exceed (nearest rank). NaN for an empty list. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? NaN;
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
