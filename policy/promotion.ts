/** Decides whether a trained model may replace the one in production. Pure functions: no clock, no randomness. */
import { percent } from './percent.ts';

/** What a candidate must reach. Shares are 0 to 1. */
export interface PromotionPolicy {
  /** The least number of test rows in scope for a decision. */
  readonly minRows: number;
  /**
   * A difference with a larger McNemar p counts as chance, even if its interval excludes 0: with few flips, bootstrap
   * intervals are too narrow.
   */
  readonly significance: number;
  /**
   * The least recall of an intent, and the least accuracy of a language. The language floor also applies to all rows
   * when there is no comparison.
   */
  readonly intentFloor: number;
  readonly languageFloor: number;
  /** Slices with fewer rows are not judged. */
  readonly minSliceRows: number;
}

/** The defaults. */
export const defaultPromotionPolicy: PromotionPolicy = {
  minRows: 50,
  significance: 0.05,
  intentFloor: 0.5,
  languageFloor: 0.6,
  minSliceRows: 10,
};

/**
 * The figures of a slice of the test rows under both models; `production` is null when there is none to compare with.
 */
export interface SliceEvidence {
  readonly name: string;
  readonly rows: number;
  readonly candidate: number;
  readonly production: number | null;
}

/** The evidence on a candidate. */
export interface PromotionEvidence {
  /** Test rows in scope. */
  readonly rows: number;
  readonly candidateAccuracy: number;
  /** Candidate minus production on the same rows, with its interval; null when nothing is in production. */
  readonly comparison: {
    readonly difference: number;
    readonly interval: readonly [low: number, high: number];
    readonly mcnemar: { readonly pValue: number };
  } | null;
  readonly intents: readonly SliceEvidence[];
  readonly languages: readonly SliceEvidence[];
}

/** The decision, with its reasons as sentences. */
export interface PromotionDecision {
  readonly verdict: 'promote' | 'reject' | 'inconclusive';
  readonly reasons: readonly string[];
}

/**
 * Decides on a promotion. A slice below its floor rejects the candidate, unless production is no better there. Without
 * a comparison, all rows together are judged as one more slice. With one, the candidate is promoted if the whole
 * interval of the difference is above zero and rejected if it is below, in both cases only if McNemar's test agrees;
 * otherwise the result is inconclusive.
 */
export function decidePromotion(evidence: PromotionEvidence, policy = defaultPromotionPolicy): PromotionDecision {
  const { rows, comparison } = evidence;
  if (rows < policy.minRows)
    return verdict(
      'inconclusive',
      `There are ${rows} test rows in scope labelled by people; at least ${policy.minRows} are needed.`,
    );
  const broken = [
    ...belowFloor('intent', evidence.intents, policy.intentFloor, policy.minSliceRows),
    ...belowFloor('language', evidence.languages, policy.languageFloor, policy.minSliceRows),
  ];
  if (broken.length > 0) return { verdict: 'reject', reasons: broken };
  if (!comparison) {
    const found = `Nothing is in production, and ${percent(evidence.candidateAccuracy)} of ${rows} rows are right`;
    return evidence.candidateAccuracy < policy.languageFloor
      ? verdict('reject', `${found}, below the floor of ${percent(policy.languageFloor)}.`)
      : verdict('promote', `${found}.`);
  }
  const [low, high] = comparison.interval;
  const { pValue } = comparison.mcnemar;
  const range = `${percent(comparison.difference)} (95 % interval ${percent(low)} to ${percent(high)}, McNemar p = ${pValue.toPrecision(2)}) on ${rows} rows`;
  const chance = pValue >= policy.significance;
  if (low > 0 && !chance) return verdict('promote', `It is better than production by ${range}.`);
  if (high < 0 && !chance) return verdict('reject', `It is worse than production: ${range}.`);
  return verdict('inconclusive', `The difference to production is within chance: ${range}.`);
}

function belowFloor(
  kind: 'intent' | 'language',
  slices: readonly SliceEvidence[],
  floor: number,
  minRows: number,
): readonly string[] {
  return slices.flatMap(({ name, rows, candidate, production }) => {
    if (rows < minRows || candidate >= floor || (production !== null && candidate >= production)) return [];
    const before = production === null ? '' : `; production has ${percent(production)}`;
    return [
      `The ${kind} ${name} is at ${percent(candidate)} of ${rows} rows, below its floor of ${percent(floor)}${before}.`,
    ];
  });
}

function verdict(value: PromotionDecision['verdict'], reason: string): PromotionDecision {
  return { verdict: value, reasons: [reason] };
}
