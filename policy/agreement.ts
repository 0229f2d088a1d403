/** How far two reviewers of the same conversations agree. */
import { tally } from './group-by.ts';
import { percent } from './percent.ts';

/** Agreement of two reviewers over the conversations that both judged. */
export interface Agreement {
  readonly pairs: number;
  /** Share of pairs with the same label; null without pairs. */
  readonly observed: number | null;
  /**
   * Cohen's kappa (1960): (observed − expected) / (1 − expected), where expected is the agreement of two reviewers who
   * choose labels at random with their own frequencies. 1 = perfect, 0 = chance. Null without pairs, and when both
   * reviewers gave a single label throughout: expected agreement is then 1.
   */
  readonly kappa: number | null;
  /** Standard error of kappa for large counts, √(o·(1 − o) / n) / (1 − e) (Cohen 1960, formula 7). */
  readonly standardError: number | null;
}

/** Agreement over pairs of labels, the first reviewer's first. */
export function cohensKappa(pairs: readonly (readonly [first: string, second: string])[]): Agreement {
  const n = pairs.length;
  if (n === 0) return { pairs: 0, observed: null, kappa: null, standardError: null };
  const observed = pairs.filter(([a, b]) => a === b).length / n;
  const [firsts, seconds] = [tally(pairs.map(([a]) => a)), tally(pairs.map(([, b]) => b))];
  let expected = 0;
  for (const [label, count] of firsts) expected += (count / n) * ((seconds.get(label) ?? 0) / n);
  if (expected >= 1) return { pairs: n, observed, kappa: null, standardError: null };
  return {
    pairs: n,
    observed,
    kappa: (observed - expected) / (1 - expected),
    standardError: Math.sqrt((observed * (1 - observed)) / n) / (1 - expected),
  };
}

/** The agreement as a sentence for people. */
export function agreementInWords({ pairs, kappa, observed }: Agreement): string {
  if (observed === null) return 'No conversation was judged by two reviewers.';
  return `Two reviewers judged ${pairs} conversations and agreed on ${percent(observed)}; Cohen's kappa is ${kappa?.toFixed(2) ?? 'not defined'}.`;
}
