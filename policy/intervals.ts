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
