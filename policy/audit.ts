/**
 * Estimates how often the answers in production are right. People see nearly all of the doubtful traffic but only a
 * small random share of the trusted traffic, so the plain share of right answers among what they saw is too low. Each
 * answer is therefore weighted with the number of conversations it represents: the inverse of its probability of being
 * selected and answered.
 *
 * Estimator: strata of equal design (route and audit propensity), the review routes also cut into bands of confidence,
 * each weighted with its share of the traffic. This is Horvitz and Thompson's estimator (1952) in Hájek's form with the
 * realised share of answers in place of the planned propensity (post-stratification; Holt and Smith 1979), which does
 * not lose precision.
 *
 * Interval: Wilson's in each stratum, combined by the method of variance estimates recovery (Zou and Donner 2008;
 * Newcombe 1998): low = p − √Σ (w·(p_h − l_h))², high = p + √Σ (w·(u_h − p_h))². A stratum without a mistake keeps its
 * uncertainty this way; a bootstrap or a normal interval would give it none. Each part is scaled by √(1 − answered /
 * conversations), the finite population correction: a stratum that was answered completely is known, not estimated.
 *
 * On the review routes one keystroke answers all equal texts, so they are all right or all wrong. The sample is one of
 * clusters, and its n is the effective number of independent answers (`effectiveNumber`). The finite population
 * correction stays: for clusters taken whole it is 1 − the share of clusters, approximated by the share of
 * conversations (Cochran 1977, chapters 9 and 9A). Audits are drawn and answered one conversation at a time, so each
 * counts on its own even if its text repeats (simple random sampling, chapter 2).
 *
 * A stratum without an answer (a small one may never get any after the audit share changed) gets the mean of the others
 * as its estimate, and the interval assumes the extremes for it: all wrong at the low end, all right at the high end.
 * If such strata hold more than `MAX_UNSEEN` of the traffic, there is no estimate.
 *
 * Assumptions: audited conversations are chosen by a hash that is independent of their content; and within a band of
 * confidence, conversations that are unanswered (or skipped) are right as often as the answered ones. `bounds` does not
 * need the second assumption.
 */
import { groupBy } from './group-by.ts';
import { effectiveNumber, wilson } from './intervals.ts';
import type { Interval } from './intervals.ts';

/** Counts of the conversations with equal route, audit propensity and confidence band. */
export interface AuditCell {
  readonly route: 'auto-approved' | 'needs-review' | 'priority-review';
  /** Planned probability that a person is asked, 0 to 1; 1 on the review routes. */
  readonly propensity: number;
  /** Bands are ordered; neighbours with few answers are joined. */
  readonly band: number;
  readonly conversations: number;
  /**
   * How many of them were selected for a person. Answers to others don't count, because those were not a random choice.
   */
  readonly chosen: number;
  /**
   * Answers to selected conversations: prediction confirmed, corrected, or message unusable (rejected), which counts as
   * neither.
   */
  readonly right: number;
  readonly wrong: number;
  readonly unusable: number;
  /**
   * Σ size² over the groups behind `right` and `wrong`: equal texts with equal prediction on the review routes; each
   * audit is its own group.
   */
  readonly squares: number;
}

/** The accuracy of a slice of the traffic. Shares are 0 to 1. */
export interface ProductionAccuracy {
  readonly conversations: number;
  /** Answers used, without unusable messages. */
  readonly answers: number;
  /** Effective number of independent answers; smaller than `answers` where equal texts were answered. */
  readonly effective: number;
  /** Selected for a person, but without a usable answer: still waiting, or skipped. */
  readonly missing: number;
  /**
   * Share of right answers, weighted by inverse propensity; null when more than `MAX_UNSEEN` of the traffic is in
   * strata without an answer.
   */
  readonly corrected: number | null;
  readonly interval: Interval;
  /** The corrected figure if everything missing on the review routes were wrong, or right. */
  readonly bounds: Interval;
  /** The unweighted share of right answers among what people saw; null when they saw nothing. */
  readonly naive: number | null;
  /** Wrong answers among the judged ones: how often a person overrode the model. */
  readonly overrideRate: number | null;
}

/** Upper edges of the bands; a missing confidence is in band 0. Postgres' `width_bucket` gives the same numbers. */
export const BAND_EDGES: readonly number[] = [
  0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.725, 0.75, 0.775, 0.8, 0.825, 0.85,
];

/** The band of a confidence, from 0: the number of edges that are not above it. */
export function confidenceBand(confidence: number | null): number {
  return confidence === null ? 0 : BAND_EDGES.filter((edge) => confidence >= edge).length;
}

/** A band with fewer answers is joined with the next one. */
const MIN_ANSWERS = 10;

/**
 * The largest share of the traffic that may lack answers for there to be a figure. It widens the interval by the same
 * amount.
 */
export const MAX_UNSEEN = 0.05;

/** Production accuracy of the conversations in `cells`. */
export function productionAccuracy(cells: readonly AuditCell[]): ProductionAccuracy {
  const strata = [...groupBy(cells, ({ route, propensity }) => `${route}/${propensity}`).values()].flatMap(joinBands);
  const judged = sum(strata, ({ right, wrong }) => right + wrong);
  const right = sum(strata, (stratum) => stratum.right);
  const population = sum(strata, usable);
  const parts = strata.map((stratum) => partOf(stratum, population === 0 ? 0 : usable(stratum) / population));
  const seen = parts.filter(({ known }) => known);
  const unseen = sum(parts, ({ known, weight }) => (known ? 0 : weight));
  const rightOfSeen = sum(seen, ({ weight, share }) => weight * share);
  // Rounding can make a sum of shares slightly larger than 1, which a constraint in Postgres rejects.
  const corrected = seen.length === 0 ? 0.5 : clamp(rightOfSeen / (1 - unseen));
  const spread = (side: 0 | 1) =>
    Math.sqrt(sum(seen, ({ weight, share, interval }) => (weight * (interval[side] - share)) ** 2));
  const bound = (missingRight: 0 | 1) =>
    sum(parts, ({ weight, share, known, missing }) => {
      const answers = known ? share : corrected;
      return weight * (answers * (1 - missing) + missingRight * missing);
    });
  return {
    conversations: sum(strata, ({ conversations }) => conversations),
    answers: judged,
    effective: sum(strata, effective),
    missing: sum(strata, (stratum) => stratum.chosen - answered(stratum)),
    corrected: seen.length === 0 || unseen > MAX_UNSEEN ? null : corrected,
    interval: seen.length === 0 ? [0, 1] : [clamp(rightOfSeen - spread(0)), clamp(rightOfSeen + unseen + spread(1))],
    bounds: seen.length === 0 ? [0, 1] : [clamp(bound(0)), clamp(bound(1))],
    naive: judged === 0 ? null : right / judged,
    overrideRate: judged === 0 ? null : (judged - right) / judged,
  };
}

interface Part {
  readonly weight: number;
  /** Whether people have judged any of it; otherwise `share` and `interval` carry no information. */
  readonly known: boolean;
  readonly share: number;
  /** 95 % interval, narrowed by the finite population correction. */
  readonly interval: Interval;
  /** The share of it that was selected for a person and has no answer. */
  readonly missing: number;
}

function partOf(stratum: AuditCell, weight: number): Part {
  const { right, wrong, conversations } = stratum;
  const judged = right + wrong;
  const share = judged === 0 ? 0.5 : right / judged;
  const n = effective(stratum);
  const unseen = Math.sqrt(Math.max(0, 1 - answered(stratum) / conversations));
  const [low, high] = wilson(share * n, n);
  const unanswered = judged === 0 ? 1 : (conversations - answered(stratum)) / conversations;
  return {
    weight,
    known: judged > 0,
    share,
    interval: [share - unseen * (share - low), share + unseen * (high - share)],
    missing: stratum.route === 'auto-approved' ? 0 : unanswered,
  };
}

/**
 * Conversations that have a right answer: all but the rejected ones, estimated from the judged share if there is one.
 */
function usable(stratum: AuditCell): number {
  const { conversations, right, wrong, unusable } = stratum;
  return right + wrong === 0 ? conversations - unusable : (conversations * (right + wrong)) / answered(stratum);
}

function effective({ right, wrong, squares }: AuditCell): number {
  return effectiveNumber(right + wrong, squares);
}

function answered({ right, wrong, unusable }: AuditCell): number {
  return right + wrong + unusable;
}

/**
 * Bands in order, joined until each has enough answers. A band that was answered completely is known and stays
 * separate. Audits form one band: they are selected and ordered at random within a day, so the answered ones are a
 * random sample of each day.
 */
function joinBands(cells: readonly AuditCell[]): readonly AuditCell[] {
  const bandOf = ({ route, band }: AuditCell) => (route === 'auto-approved' ? 'all' : String(band));
  const bands = [...groupBy(cells, bandOf).values()].map(total).sort((a, b) => a.band - b.band);
  const whole = bands.filter((band) => answered(band) === band.conversations);
  const joined: AuditCell[] = [];
  for (const band of bands) {
    if (whole.includes(band)) continue;
    const last = joined.at(-1);
    if (last && last.right + last.wrong < MIN_ANSWERS) joined[joined.length - 1] = total([last, band]);
    else joined.push(band);
  }
  const [before, last] = joined.slice(-2);
  if (before && last && last.right + last.wrong < MIN_ANSWERS) joined.splice(-2, 2, total([before, last]));
  return [...whole, ...joined].filter(({ conversations }) => conversations > 0);
}

function total(cells: readonly AuditCell[]): AuditCell {
  return cells.reduce((a, b) => ({
    ...a,
    conversations: a.conversations + b.conversations,
    chosen: a.chosen + b.chosen,
    right: a.right + b.right,
    wrong: a.wrong + b.wrong,
    unusable: a.unusable + b.unusable,
    squares: a.squares + b.squares,
  }));
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}
