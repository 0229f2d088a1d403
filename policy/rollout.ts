/**
 * Whether a version on trial may have more traffic. A function of what was observed: no clock, so that nothing advances
 * because time has passed, and the same evidence always gives the same verdict.
 *
 * Both versions are judged on the same stretch of the log: by people's labels on what each answered itself, whenever they
 * come, and by signals of all that each was asked, which come at once. Labels are weighed by their chance to be asked for
 * (policy/audit.ts), because each version sends other conversations to people.
 */
import { MAX_UNSEEN, productionAccuracy } from './audit.ts';
import type { AuditCell, ProductionAccuracy } from './audit.ts';
import { anytimeZ, wilson, Z95 } from './intervals.ts';
import type { Interval } from './intervals.ts';
import { defaultPromotionPolicy } from './promotion.ts';

/** Number, sum and sum of squares of a quantity. */
export interface Moments {
  readonly n: number;
  readonly sum: number;
  readonly squares: number;
}

/** What one version did in the stretch. */
export interface ArmEvidence {
  readonly conversations: number;
  /** Conversations with people's labels, by route, propensity and confidence. */
  readonly cells: readonly AuditCell[];
  /** Conversations of which is known whether the response was good, and how many of them were not. */
  readonly responses: number;
  readonly failures: number;
  /** Conversations that went on to an LLM. */
  readonly fallbacks: number;
  /** Of those that it answered itself, as is confidence. */
  readonly latencyMs: Moments;
  readonly confidence: Moments;
}

/** Limits of a rollout. Shares are 0 to 1. */
export interface RolloutPolicy {
  /** Traffic in percent, rising; the last is 100. */
  readonly steps: readonly number[];
  /** Fewer labels of either version decide nothing for the better. Equal texts count as what they are worth, see policy/audit.ts. */
  readonly minLabels: number;
  /** Fewer labels of the canary decide nothing for the worse either. */
  readonly minLabelsToFail: number;
  /** Signals of fewer conversations of either version are not looked at. */
  readonly minConversations: number;
  /** So much less accuracy is not worse; what the interval of the difference must stay above for success. */
  readonly accuracyMargin: number;
  /** So much more failures, or fallbacks, are borne. */
  readonly failureMargin: number;
  readonly fallbackMargin: number;
  /** Mean latency may be so many times that of production. */
  readonly latencyFactor: number;
  /** Mean confidence may fall by so much. */
  readonly confidenceDrop: number;
  /** Where there is nothing to compare with: least share of right labels, and of responses that did not fail. */
  readonly floor: number;
}

/** The defaults. The floor is what promotion asks of a language. */
export const defaultRolloutPolicy: RolloutPolicy = {
  steps: [10, 25, 50, 100],
  minLabels: 50,
  minLabelsToFail: 15,
  minConversations: 100,
  accuracyMargin: 0.03,
  failureMargin: 0.03,
  fallbackMargin: 0.05,
  latencyFactor: 1.5,
  confidenceDrop: 0.1,
  floor: defaultPromotionPolicy.languageFloor,
};

/** The verdict on a step, and why, in sentences. */
export interface StepVerdict {
  readonly verdict: 'success' | 'fail' | 'inconclusive' | 'no-data';
  readonly reasons: readonly string[];
}

/** What to do about a verdict. */
export type RolloutAction =
  | { readonly kind: 'hold' }
  | { readonly kind: 'roll-back' }
  | { readonly kind: 'set-traffic'; readonly traffic: number };

/**
 * Judges the step. A bad signal fails it without any label; nothing but labels lets it succeed. A version in production without a
 * file is not asked here, and may be named by no conversation: then its own labels decide on the one on trial, as its test did on
 * its promotion.
 */
export function judgeStep(
  canary: ArmEvidence,
  production: ArmEvidence,
  { hasFile }: { readonly hasFile: boolean } = { hasFile: true },
  policy: RolloutPolicy = defaultRolloutPolicy,
): StepVerdict {
  const bad = badSignals(canary, production, policy);
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
  if (a.corrected !== null && nothingBeside) return judgeAlone(a, a.corrected, policy);
  if (a.corrected === null || b.corrected === null)
    return because(
      'inconclusive',
      `More than ${percent(MAX_UNSEEN)} of the traffic of one version is of a kind that has no label at all yet.`,
    );
  const difference = a.corrected - b.corrected;
  const [low, high] = differenceInterval([a.corrected, a.interval], [b.corrected, b.interval]);
  const range = `${percent(a.corrected)} right against ${percent(b.corrected)} of production: ${percent(difference)} (95 % interval ${percent(low)} to ${percent(high)}) on ${labels(a)} and ${labels(b)} labels`;
  if (highest(difference, high, a) < 0 && a.effective >= policy.minLabelsToFail)
    return because('fail', `It is worse than production. ${range}.`);
  if (Math.min(a.effective, b.effective) < policy.minLabels)
    return because('inconclusive', `Each version needs ${policy.minLabels} labels. ${range}.`);
  if (low > -policy.accuracyMargin) return because('success', `It is not worse than production. ${range}.`);
  return because('inconclusive', `The labels leave open whether it is worse. ${range}.`);
}

/** With less than one conversation to so many of the other, an arm has a stray request or two; the least share of the traffic is 1 %. */
const NEXT_TO_NOTHING = 300;

/** Whether hardly a conversation of the traffic names an arm: there is nothing to compare with. */
function isNextToNothing(arm: ArmEvidence, other: ArmEvidence): boolean {
  return arm.conversations * NEXT_TO_NOTHING < other.conversations || arm.cells.length === 0;
}

/**
 * Judges a version that has had all the traffic since its rollout, against what the one `before` it did in the last step, or against the
 * floor. Those were other days: so what only tells of the load or of doubt is left out, and labels must be worse by more than the
 * margin. Fails, or is inconclusive.
 */
export function judgeProduction(
  production: ArmEvidence,
  before: ArmEvidence,
  policy: RolloutPolicy = defaultRolloutPolicy,
): StepVerdict {
  const failing = failedResponses(production, before, 'the version before', policy);
  if (failing.length > 0) return { verdict: 'fail', reasons: failing };
  const [a, b] = [productionAccuracy(future(production.cells)), productionAccuracy(future(before.cells))];
  if (a.corrected === null || a.effective < policy.minLabelsToFail)
    return because('inconclusive', 'Too few of its conversations are labelled.');
  const [share, interval, margin]: readonly [number, Interval, number] =
    b.corrected === null
      ? [policy.floor, [policy.floor, policy.floor], 0]
      : [b.corrected, b.interval, policy.accuracyMargin];
  const difference = a.corrected - share;
  const [, high] = differenceInterval([a.corrected, a.interval], [share, interval]);
  if (highest(difference, high, a) >= -margin) return because('inconclusive', 'Nothing speaks against it.');
  const other = b.corrected === null ? 'the floor' : 'the version before it in its last step';
  return because(
    'fail',
    `It has become worse: ${percent(a.corrected)} right on ${labels(a)} labels, against ${percent(share)} of ${other}.`,
  );
}

/** Judges a version by its own labels. */
function judgeAlone(a: ProductionAccuracy, corrected: number, policy: RolloutPolicy): StepVerdict {
  const [low, high] = a.interval;
  const floor = `${percent(policy.floor)}, the floor where there is nothing to compare with`;
  const range = `${percent(corrected)} right (95 % interval ${percent(low)} to ${percent(high)}) on ${labels(a)} labels`;
  if (highest(corrected, high, a) < policy.floor && a.effective >= policy.minLabelsToFail)
    return because('fail', `It is below ${floor}. ${range}.`);
  if (a.effective < policy.minLabels) return because('inconclusive', `It needs ${policy.minLabels} labels. ${range}.`);
  if (low > policy.floor) return because('success', `It is above ${floor}. ${range}.`);
  return because('inconclusive', `The labels leave open whether it is above ${floor}. ${range}.`);
}

/**
 * The upper end for all looks together: it is judged anew with every label, and an interval for one look would, in time, find any equal
 * version worse.
 */
function highest(estimate: number, high: number, { effective }: ProductionAccuracy): number {
  return estimate + (anytimeZ(effective) / Z95) * (high - estimate);
}

/** What follows from a verdict at `traffic` percent: only success advances, fail rolls back, all else holds. */
export function actOn(verdict: string, traffic: number, { steps } = defaultRolloutPolicy): RolloutAction {
  if (verdict === 'fail') return { kind: 'roll-back' };
  const next = verdict === 'success' ? steps.find((step) => step > traffic) : undefined;
  return next === undefined ? { kind: 'hold' } : { kind: 'set-traffic', traffic: next };
}

/**
 * Interval of a difference of independent estimates from the interval of each, by the method of variance estimates
 * recovery (Newcombe 1998; Zou and Donner 2008).
 */
function differenceInterval(
  [a, [aLow, aHigh]]: readonly [estimate: number, interval: Interval],
  [b, [bLow, bHigh]]: readonly [estimate: number, interval: Interval],
): Interval {
  return [a - b - Math.hypot(a - aLow, bHigh - b), a - b + Math.hypot(aHigh - a, b - bLow)];
}

/**
 * The cells of a stream that goes on. What was seen whole is known of the past, but the question is how the version will
 * do: as a small part of more of the same traffic it keeps its uncertainty.
 */
function future(cells: readonly AuditCell[]): readonly AuditCell[] {
  return cells.map((cell) => ({ ...cell, conversations: 1000 * cell.conversations, chosen: 1000 * cell.chosen }));
}

/** The number of labels, and what they are worth where that is less. */
function labels({ answers, effective }: ProductionAccuracy): string {
  const worth = Math.floor(effective);
  return worth < answers ? `${answers} (equal texts: worth ${worth})` : String(answers);
}

function badSignals(canary: ArmEvidence, production: ArmEvidence, policy: RolloutPolicy): readonly string[] {
  const enough = (a: number, b: number) => Math.min(a, b) >= policy.minConversations;
  const reasons = [
    ...failedResponses(canary, production, 'production', policy),
    ...moreOften(
      'Fallbacks',
      [canary.fallbacks, canary.conversations],
      [production.fallbacks, production.conversations],
      policy.fallbackMargin,
      'production',
      policy,
    ),
  ];
  const [slow, usual] = [canary.latencyMs, production.latencyMs];
  if (
    enough(slow.n, usual.n) &&
    mean(slow) - policy.latencyFactor * mean(usual) >
      Z95 * Math.sqrt(variance(slow) + policy.latencyFactor ** 2 * variance(usual))
  )
    reasons.push(`Latency: ${mean(slow).toFixed(1)} ms on average against ${mean(usual).toFixed(1)} ms of production.`);
  const [now, before] = [canary.confidence, production.confidence];
  if (
    enough(now.n, before.n) &&
    mean(before) - mean(now) - policy.confidenceDrop > Z95 * Math.sqrt(variance(now) + variance(before))
  )
    reasons.push(`Confidence: ${mean(now).toFixed(3)} on average against ${mean(before).toFixed(3)} of production.`);
  return reasons;
}

function failedResponses(arm: ArmEvidence, other: ArmEvidence, name: string, policy: RolloutPolicy): readonly string[] {
  const { failures, responses } = arm;
  if (other.responses * NEXT_TO_NOTHING >= responses)
    return moreOften(
      'Failed responses',
      [failures, responses],
      [other.failures, other.responses],
      policy.failureMargin,
      name,
      policy,
    );
  const [low] = wilson(failures, responses);
  if (responses < policy.minConversations || low <= 1 - policy.floor) return [];
  return [
    `Failed responses: ${percent(failures / responses)} of ${responses} conversations, and nothing to compare with.`,
  ];
}

/** A sentence where something happened more often than in the `other` arm, beyond `margin` and chance. */
function moreOften(
  what: string,
  [count, n]: readonly [count: number, n: number],
  [otherCount, otherN]: readonly [count: number, n: number],
  margin: number,
  name: string,
  { minConversations }: RolloutPolicy,
): readonly string[] {
  if (Math.min(n, otherN) < minConversations) return [];
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

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
