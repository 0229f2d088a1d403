/** Confidence intervals of shares. */

/** A range of shares, 0 to 1. */
export type Interval = readonly [low: number, high: number];

/** Two-sided 95 % point of the normal distribution. */
export const Z95 = 1.959963984540054;

/**
 * Wilson's score interval of a share of `n` trials of which `successes` succeeded (Wilson 1927; Brown, Cai and DasGupta
 * 2001 for its coverage at small n). [0, 1] when there were none.
 */
export function wilson(successes: number, n: number, z = Z95): Interval {
  if (n === 0) return [0, 1];
  const p = successes / n;
  const centre = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n))) / (1 + (z * z) / n);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/**
 * How many independent observations a weighted mean is worth: (Σ w)² / Σ w² (Kish 1965). Where observations come in groups that
 * say one thing, the weights are the sizes of the groups: n divided by the design effect of clusters that agree within.
 * `wilson` takes it in place of n (Franco, Little, Louis and Slud 2019 compare the intervals and recommend Wilson's).
 */
export function effectiveNumber(sum: number, squares: number): number {
  return squares === 0 ? 0 : sum ** 2 / squares;
}

/** The number of observations at which `anytimeZ` is narrowest. */
const NARROWEST_AT = 50;
const ALPHA = 0.05;
/** The mixture's m is so many times smaller: x with x = ln((1 + x)/α²), where the derivative is 0 (Howard et al., section 3.5). */
const NARROWEST_OVER_M = 8.21;

/**
 * What takes the place of `Z95` where a mean is looked at again after each of `n` observations and the first look that
 * says so decides: 95 % for all looks together, however many there are. Normal mixture boundary (Robbins 1970; Howard,
 * Ramdas, McAuliffe and Sekhon 2021, section 3.2), √((n + m)/n · ln((n + m)/(m·α²))) with α = 0.05.
 */
export function anytimeZ(n: number): number {
  if (n === 0) return Infinity;
  const m = NARROWEST_AT / NARROWEST_OVER_M;
  return Math.sqrt(((n + m) / n) * Math.log((n + m) / (m * ALPHA ** 2)));
}
