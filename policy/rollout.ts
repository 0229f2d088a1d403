/**
 * Decides whether a version on trial may get more traffic. A pure function of the evidence without a clock: time alone
 * advances nothing, and equal evidence always gives the same verdict.
 *
 * Both versions are judged on the same stretch of the log: by people's labels on the answers that each gave itself,
 * which come late, and by signals of all conversations that each was asked about, which come at once. Labels are weighted by their
 * probability of being asked for (policy/audit.ts), because the versions send different conversations to people.
 */
import { MAX_UNSEEN, productionAccuracy } from './audit.ts';
import type { AuditCell, ProductionAccuracy } from './audit.ts';
import { anytimeZ, wilson, Z95 } from './intervals.ts';
import type { Interval } from './intervals.ts';
import { percent } from './percent.ts';
import { defaultPromotionPolicy } from './promotion.ts';

/** Number, sum and sum of squares of a quantity. */
export interface Moments {
  readonly n: number;
  readonly sum: number;
  readonly squares: number;
}

/** What one version did in the stretch of the log. */
export interface ArmEvidence {
  readonly conversations: number;
  /** Conversations and people's labels on them, by route, propensity and confidence. */
  readonly cells: readonly AuditCell[];
  /** Conversations with a known outcome of the response, and how many responses failed. */
  readonly responses: number;
  readonly failures: number;
  /** Conversations that fell back to an LLM. */
  readonly fallbacks: number;
  /** Latency and confidence, of the answers that the version gave itself. */
  readonly latencyMs: Moments;
  readonly confidence: Moments;
}

/** The traffic shares of a rollout in percent, rising. */
export const ROLLOUT_STEPS = [10, 25, 50, 100] as const;

/** Limits of a rollout. Shares are 0 to 1. */
const limits = {
  /**
   * The least number of labels of each version for a success. Equal texts count with their effective number, see
   * policy/audit.ts.
   */
  minLabels: 50,
  /** The least number of labels of the canary for a failure by labels. */
  minLabelsToFail: 15,
  /** The least number of conversations of each version for its signals to count. */
  minConversations: 100,
  /** The accuracy loss that is tolerated: for a success, the interval of the difference must stay above −margin. */
  accuracyMargin: 0.03,
  /** The tolerated increase of failures, or of fallbacks. */
  failureMargin: 0.03,
  fallbackMargin: 0.05,
  /** Mean latency may be at most this many times that of production. */
  latencyFactor: 1.5,
  /** Mean confidence may fall by at most this much. */
  confidenceDrop: 0.1,
  /**
   * Without a version to compare with: the least share of right labels, and of responses that did not fail. Equals the
   * language floor of a promotion.
   */
  floor: defaultPromotionPolicy.languageFloor,
};

/** The verdict on a step, with its reasons as sentences. */
export interface StepVerdict {
  readonly verdict: 'success' | 'fail' | 'inconclusive' | 'no-data';
  readonly reasons: readonly string[];
}

/** The action that follows from a verdict. */
export type RolloutAction =
  | { readonly kind: 'hold' }
  | { readonly kind: 'roll-back' }
  | { readonly kind: 'set-traffic'; readonly traffic: number };

/**
 * Judges a step. A bad signal fails it even without labels; only labels can make it succeed. If the version in
 * production has no file here, conversations may not name it at all; then the canary's own labels decide, like its test
 * figures did for its promotion.
 */
export function judgeStep(
  canary: ArmEvidence,
  production: ArmEvidence,
  { hasFile }: { readonly hasFile: boolean } = { hasFile: true },
): StepVerdict {
  const bad = badSignals(canary, production);
  if (bad.length > 0) return { verdict: 'fail', reasons: bad };
  const [a, b] = [productionAccuracy(future(canary.cells)), productionAccuracy(future(production.cells))];
  const nothingBeside = isNextToNothing(production, canary);
  if (a.answers === 0)
    return because('no-data', `People have labelled none of its ${canary.conversations} conversations yet.`);
  if (nothingBeside && hasFile)
    return because(
      'inconclusive',
      'Nothing can be compared: hardly a conversation names the version in production as the `model_version` that answered it.',
    );
  if (a.corrected !== null && nothingBeside) return judgeAlone(a, a.corrected);
  if (a.corrected === null || b.corrected === null)
    return because(
      'inconclusive',
      `More than ${percent(MAX_UNSEEN)} of the traffic of one version is of a kind that has no label at all yet.`,
    );
  const difference = a.corrected - b.corrected;
  const [low, high] = differenceInterval([a.corrected, a.interval], [b.corrected, b.interval]);
  const range = `${percent(a.corrected)} right against ${percent(b.corrected)} of production: ${percent(difference)} (95 % interval ${percent(low)} to ${percent(high)}) on ${labels(a)} and ${labels(b)} labels`;
  if (highest(difference, high, a) < 0 && a.effective >= limits.minLabelsToFail)
    return because('fail', `It is worse than production. ${range}.`);
  if (Math.min(a.effective, b.effective) < limits.minLabels)
    return because('inconclusive', `Each version needs ${limits.minLabels} labels. ${range}.`);
  if (low > -limits.accuracyMargin) return because('success', `It is not worse than production. ${range}.`);
  return because('inconclusive', `The labels leave open whether it is worse. ${range}.`);
}

/**
 * If the other arm has more than this many times the conversations, an arm counts as unused (stray requests). The
 * smallest share of the traffic is 1 %.
 */
const NEXT_TO_NOTHING = 300;

/** Whether almost no conversation names the arm, so that there is nothing to compare with. */
function isNextToNothing(arm: ArmEvidence, other: ArmEvidence): boolean {
  return arm.conversations * NEXT_TO_NOTHING < other.conversations || arm.cells.length === 0;
}

/**
 * Judges a version that has had all the traffic since its rollout, against the evidence of the version `before` it in
 * the last step, or against the floor. The two arms cover different days, so signals of load or doubt are ignored, and
 * labels must be worse by more than the margin. The verdict is fail or inconclusive.
 */
export function judgeProduction(production: ArmEvidence, before: ArmEvidence): StepVerdict {
  const failing = failedResponses(production, before, 'the version before');
  if (failing.length > 0) return { verdict: 'fail', reasons: failing };
  const [a, b] = [productionAccuracy(future(production.cells)), productionAccuracy(future(before.cells))];
  if (a.corrected === null || a.effective < limits.minLabelsToFail)
    return because('inconclusive', 'Too few of its conversations are labelled.');
  const [share, interval, margin]: readonly [number, Interval, number] =
    b.corrected === null
      ? [limits.floor, [limits.floor, limits.floor], 0]
      : [b.corrected, b.interval, limits.accuracyMargin];
  const difference = a.corrected - share;
  const [, high] = differenceInterval([a.corrected, a.interval], [share, interval]);
  if (highest(difference, high, a) >= -margin) return because('inconclusive', 'Nothing speaks against it.');
  const other = b.corrected === null ? 'the floor' : 'the version before it in its last step';
  return because(
    'fail',
    `It has become worse: ${percent(a.corrected)} right on ${labels(a)} labels, against ${percent(share)} of ${other}.`,
  );
}

/** Judges a version by its own labels only. */
function judgeAlone(a: ProductionAccuracy, corrected: number): StepVerdict {
  const [low, high] = a.interval;
  const floor = `${percent(limits.floor)}, the floor where there is nothing to compare with`;
  const range = `${percent(corrected)} right (95 % interval ${percent(low)} to ${percent(high)}) on ${labels(a)} labels`;
  if (highest(corrected, high, a) < limits.floor && a.effective >= limits.minLabelsToFail)
    return because('fail', `It is below ${floor}. ${range}.`);
  if (a.effective < limits.minLabels) return because('inconclusive', `It needs ${limits.minLabels} labels. ${range}.`);
  if (low > limits.floor) return because('success', `It is above ${floor}. ${range}.`);
  return because('inconclusive', `The labels leave open whether it is above ${floor}. ${range}.`);
}

/**
 * The upper end for all looks together. The version is judged again with every label, and an interval for a single look
 * would eventually find any equal version worse.
 */
function highest(estimate: number, high: number, { effective }: ProductionAccuracy): number {
  return estimate + (anytimeZ(effective) / Z95) * (high - estimate);
}

/** The action after a verdict at `traffic` percent: success advances, fail rolls back, everything else holds. */
export function actOn(verdict: string, traffic: number): RolloutAction {
  if (verdict === 'fail') return { kind: 'roll-back' };
  const next = verdict === 'success' ? ROLLOUT_STEPS.find((step) => step > traffic) : undefined;
  return next === undefined ? { kind: 'hold' } : { kind: 'set-traffic', traffic: next };
}

/**
 * Interval of the difference of two independent estimates, from their intervals by the method of variance estimates
 * recovery (Newcombe 1998; Zou and Donner 2008).
 */
function differenceInterval(
  [a, [aLow, aHigh]]: readonly [estimate: number, interval: Interval],
  [b, [bLow, bHigh]]: readonly [estimate: number, interval: Interval],
): Interval {
  return [a - b - Math.hypot(a - aLow, bHigh - b), a - b + Math.hypot(aHigh - a, b - bLow)];
}

/**
 * The cells as a small sample of the traffic to come. Without this, strata that were answered completely would count as
 * certain, although the question is how the version will do in future.
 */
function future(cells: readonly AuditCell[]): readonly AuditCell[] {
  return cells.map((cell) => ({ ...cell, conversations: 1000 * cell.conversations, chosen: 1000 * cell.chosen }));
}

/** The number of labels, with their effective number if that is smaller. */
function labels({ answers, effective }: ProductionAccuracy): string {
  const worth = Math.floor(effective);
  return worth < answers ? `${answers} (equal texts: worth ${worth})` : String(answers);
}

function badSignals(canary: ArmEvidence, production: ArmEvidence): readonly string[] {
  const enough = (a: number, b: number) => Math.min(a, b) >= limits.minConversations;
  const reasons = [
    ...failedResponses(canary, production, 'production'),
    ...moreOften(
      'Fallbacks',
      [canary.fallbacks, canary.conversations],
      [production.fallbacks, production.conversations],
      limits.fallbackMargin,
      'production',
    ),
  ];
  const [slow, usual] = [canary.latencyMs, production.latencyMs];
  if (
    enough(slow.n, usual.n) &&
    mean(slow) - limits.latencyFactor * mean(usual) >
      Z95 * Math.sqrt(variance(slow) + limits.latencyFactor ** 2 * variance(usual))
  )
    reasons.push(`Latency: ${mean(slow).toFixed(1)} ms on average against ${mean(usual).toFixed(1)} ms of production.`);
  const [now, before] = [canary.confidence, production.confidence];
  if (
    enough(now.n, before.n) &&
    mean(before) - mean(now) - limits.confidenceDrop > Z95 * Math.sqrt(variance(now) + variance(before))
  )
    reasons.push(`Confidence: ${mean(now).toFixed(3)} on average against ${mean(before).toFixed(3)} of production.`);
  return reasons;
}

function failedResponses(arm: ArmEvidence, other: ArmEvidence, name: string): readonly string[] {
  const { failures, responses } = arm;
  if (other.responses * NEXT_TO_NOTHING >= responses)
    return moreOften(
      'Failed responses',
      [failures, responses],
      [other.failures, other.responses],
      limits.failureMargin,
      name,
    );
  const [low] = wilson(failures, responses);
  if (responses < limits.minConversations || low <= 1 - limits.floor) return [];
  return [
    `Failed responses: ${percent(failures / responses)} of ${responses} conversations, and nothing to compare with.`,
  ];
}

/** A sentence if something happened more often than in the `other` arm, beyond `margin` and chance. */
function moreOften(
  what: string,
  [count, n]: readonly [count: number, n: number],
  [otherCount, otherN]: readonly [count: number, n: number],
  margin: number,
  name: string,
): readonly string[] {
  if (Math.min(n, otherN) < limits.minConversations) return [];
  const [p, q] = [count / n, otherCount / otherN];
  const [low] = differenceInterval([p, wilson(count, n)], [q, wilson(otherCount, otherN)]);
  if (low <= margin) return [];
  return [`${what}: ${percent(p)} of ${n} conversations against ${percent(q)} of ${name}'s ${otherN}.`];
}

function mean({ n, sum }: Moments): number {
  return sum / n;
}

/** Variance of the mean. */
function variance({ n, sum, squares }: Moments): number {
  return Math.max(0, squares / n - (sum / n) ** 2) / n;
}

function because(verdict: StepVerdict['verdict'], reason: string): StepVerdict {
  return { verdict, reasons: [reason] };
}
