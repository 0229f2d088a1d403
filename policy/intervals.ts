/** Confidence intervals for shares. */

/** A range of shares, 0 to 1. */
export type Interval = readonly [low: number, high: number];

/** Two-sided 95 % point of the normal distribution. */
export const Z95 = 1.959963984540054;

/**
 * Wilson's 95 % score interval for `successes` out of `n` trials (Wilson 1927; Brown, Cai and DasGupta 2001 on its coverage
 * at small n). [0, 1] when n is 0.
 */
export function wilson(successes: number, n: number): Interval {
  if (n === 0) return [0, 1];
  const z = Z95;
  const p = successes / n;
  const centre = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n))) / (1 + (z * z) / n);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/**
 * The effective number of independent observations of a weighted mean: (Σ w)² / Σ w² (Kish 1965). For clusters whose
 * members all agree, the weights are the cluster sizes: the result is n divided by the design effect. `wilson` takes it
 * in place of n (Franco, Little, Louis and Slud 2019 compare the intervals and recommend Wilson's).
 */
export function effectiveNumber(sum: number, squares: number): number {
  return squares === 0 ? 0 : sum ** 2 / squares;
}

/** The number of observations at which `anytimeZ` is narrowest. */
const NARROWEST_AT = 50;
const ALPHA = 0.05;
/**
 * The factor by which the mixture's m is smaller than NARROWEST_AT: x with x = ln((1 + x)/α²), where the derivative is
 * 0 (Howard et al., section 3.5).
 */
const NARROWEST_OVER_M = 8.21;

/**
 * Replaces `Z95` where a mean is checked after each of `n` observations and the first significant check decides: 95 %
 * coverage over all checks together, without a limit on their number. Normal mixture boundary (Robbins 1970; Howard,
 * Ramdas, McAuliffe and Sekhon 2021, section 3.2), √((n + m)/n · ln((n + m)/(m·α²))) with α = 0.05.
 */
export function anytimeZ(n: number): number {
  if (n === 0) return Infinity;
  const m = NARROWEST_AT / NARROWEST_OVER_M;
  return Math.sqrt(((n + m) / n) * Math.log((n + m) / (m * ALPHA ** 2)));
}
