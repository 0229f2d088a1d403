/**
 * How often the answers in production are right. People see nearly all of the doubtful traffic and a small random share
 * of the trusted traffic, so the plain share of right answers among what they saw is too low. Here each answer counts
 * for as many conversations as it stands for: the inverse of its chance to be seen and answered.
 *
 * Estimator: strata of equal design (route and audit propensity), the review routes also cut into bands of confidence,
 * each weighted with its share of the traffic. That is Horvitz and Thompson's estimator (1952) in Hájek's form with the realised share of
 * answers in place of the planned propensity, which is never less precise (post-stratification; Holt and Smith 1979).
 * Interval: Wilson's in each stratum, joined by the method of variance estimates recovery (Zou and Donner 2008;
 * Newcombe 1998): low = p − √Σ (w·(p_h − l_h))², high = p + √Σ (w·(u_h − p_h))². A stratum without a single mistake
 * keeps its uncertainty that way, where a bootstrap or a normal interval would give it none. Each part is scaled by
 * √(1 − answered / conversations): what people have seen whole is known, not estimated.
 *
 * On the review routes people are asked about texts: one keystroke answers all that are equal, and all are right or all wrong. So the
 * sample is one of clusters, and its n is what they are worth (`effectiveNumber`). The factor stays: of clusters that are taken
 * whole it is 1 − the share of clusters, for which the share of conversations stands (Cochran 1977, chapters 9 and 9A). Audits are drawn
 * and answered one conversation at a time, so each counts, however often its text comes (simple random sampling, chapter 2).
 *
 * A stratum without an answer, as a small one may stay for ever when another audit share is adopted, is estimated with the
 * others' mean, and the interval holds whatever is true of it: all wrong at its low end, all right at its high end. Where
 * such strata are more than a small part of the traffic there is no estimate.
 *
 * Assumed: an audited conversation is chosen by a hash that knows nothing of it; and within a band of confidence those
 * that nobody has answered yet (or were skipped) are right as often as those answered. `bounds` does without the latter.
 */
import { effectiveNumber, wilson } from './intervals.ts';
import type { Interval } from './intervals.ts';

/** Conversations of equal route, audit propensity and confidence band, counted. */
export interface AuditCell {
  readonly route: 'auto-approved' | 'needs-review' | 'priority-review';
  /** Planned chance that a person is asked, 0 to 1; 1 on the review routes. */
  readonly propensity: number;
  /** Bands are ordered; neighbours with few answers are joined. */
  readonly band: number;
  readonly conversations: number;
  /** How many of them were meant for a person. Answers to others don't count: nobody chose those by chance. */
  readonly chosen: number;
  /** Answers to chosen ones: prediction confirmed, corrected, or message unusable (rejected), which is neither. */
  readonly right: number;
  readonly wrong: number;
  readonly unusable: number;
  /**
   * Σ size² over the groups that `right` and `wrong` come in: equal texts with equal prediction on the review routes, each audit
   * by itself.
   */
  readonly squares: number;
}

/** What is known of a slice of the traffic. Shares are 0 to 1. */
export interface ProductionAccuracy {
  readonly conversations: number;
  /** Answers that it rests on, unusable messages left out. */
  readonly answers: number;
  /** Independent answers that these are worth: fewer, where equal texts were answered. */
  readonly effective: number;
  /** Chosen for a person and not (usefully) answered: still waiting, or skipped. */
  readonly missing: number;
  /** Right answers by inverse propensity; null when more than `MAX_UNSEEN` of the traffic is in strata without an answer. */
  readonly corrected: number | null;
  readonly interval: Interval;
  /** The corrected figure if all that is missing on the review routes were wrong, or right. */
  readonly bounds: Interval;
  /** The plain share of right answers among what people saw; null when they saw nothing. */
  readonly naive: number | null;
  /** Wrong answers among those judged: how often a person overrode the model. */
  readonly overrideRate: number | null;
}

/** Upper edges of the bands; a missing confidence is in band 0. `width_bucket` of Postgres gives the same numbers. */
export const BAND_EDGES: readonly number[] = [
  0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.725, 0.75, 0.775, 0.8, 0.825, 0.85,
];

/** The band of a confidence, from 0: how many edges are not above it. */
export function confidenceBand(confidence: number | null): number {
  return confidence === null ? 0 : BAND_EDGES.filter((edge) => confidence >= edge).length;
}

/** Bands with fewer answers are joined with the next. */
const MIN_ANSWERS = 10;

/** Share of the traffic that may be without any answer where there is a figure. It widens the interval by as much. */
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
  // Sums of parts may come out a little above 1, which the table would refuse.
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
  /** Whether people have judged any of it; else `share` and `interval` say nothing. */
  readonly known: boolean;
  readonly share: number;
  /** 95 %, narrowed by what was seen. */
  readonly interval: Interval;
  /** The share of it that was meant for a person and has no answer. */
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

/** Conversations that have a right answer: all but the rejected, estimated from those that were judged where any were. */
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
 * Bands in order, joined until each has enough answers. A band that was answered whole is known and stays alone.
 * Audits are one band: chance chose them, and chance orders those of a day, so those answered are a sample of each day.
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

/** The items by their key, in the order in which each key came first. */
export function groupBy<T, K>(items: readonly T[], key: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const name = key(item);
    const group = groups.get(name);
    if (group) group.push(item);
    else groups.set(name, [item]);
  }
  return groups;
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}
