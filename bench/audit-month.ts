/** A month of traffic whose truth is known, as the estimator of production accuracy gets to see it. */
import type { AuditCell } from '../policy/audit.ts';
import { confidenceBand } from '../policy/audit.ts';
import { takeTurns } from '../policy/review-turns.ts';

/** How a month goes. Shares are 0 to 1. */
export interface Month {
  readonly name: string;
  readonly conversations: number;
  /** Share of audited conversations before and after `changesAt`: a policy may change within a month. */
  readonly auditShares: readonly [number, number];
  /** The part of the month's conversations that come before the change. */
  readonly changesAt: number;
  /** Chance that an answer given with a confidence is right. */
  readonly rightAt: (confidence: number) => number;
  /** Answers that people have time for, in the order of the queue; what is left waits. */
  readonly reviews: number;
  readonly skipped: number;
  readonly rejected: number;
}

/** What happened, and what people saw of it. */
export interface SimulatedMonth {
  readonly cells: readonly AuditCell[];
  /** Share of right answers among all conversations that have a right answer. */
  readonly truth: number;
}

/** The months of the bench and the test. 60, 30 and 10 % of the traffic go the three routes, as in the user's document. */
export const months: readonly Month[] = [
  { name: 'calibrated', ...usual() },
  { name: 'over-confident', ...usual(), rightAt: (c) => 0.25 + 0.65 * c },
  { name: 'nearly perfect', ...usual(), rightAt: (c) => 1 - (1 - c) / 5 },
  { name: 'half of the queue waits', ...usual(), reviews: 650 },
  { name: 'audit share changes', ...usual(), auditShares: [0.02, 0.1] },
  { name: 'audits begin late', ...usual(), auditShares: [0, 0.05], changesAt: 0.05 },
  { name: 'small: 700 conversations', ...usual(), conversations: 700, reviews: 280 },
];

function usual(): Omit<Month, 'name'> {
  return {
    conversations: 3000,
    auditShares: [0.05, 0.05],
    changesAt: 0.5,
    rightAt: (confidence) => confidence,
    reviews: 2000,
    skipped: 0.03,
    rejected: 0.02,
  };
}

interface Turn {
  readonly confidence: number;
  readonly route: AuditCell['route'];
  readonly propensity: number;
  readonly chosen: boolean;
  readonly right: boolean;
  readonly unusable: boolean;
  readonly skipped: boolean;
}

const DAYS = 30;

/** Plays a month with random numbers from `next`. */
export function simulate(month: Month, next: () => number): SimulatedMonth {
  const turns = Array.from({ length: month.conversations }, (_, i) => turn(month, i, next));
  const answered = new Set(seenOf(month, turns, next).filter(({ skipped }) => !skipped));
  const usable = turns.filter(({ unusable }) => !unusable);
  return {
    cells: turns.map((one) => cell(one, answered.has(one))),
    truth: usable.filter(({ right }) => right).length / usable.length,
  };
}

function turn(month: Month, i: number, next: () => number): Turn {
  const place = next();
  const route = place < 0.6 ? 'auto-approved' : place < 0.9 ? 'needs-review' : 'priority-review';
  const [low, high] = { 'auto-approved': [0.85, 1], 'needs-review': [0.7, 0.85], 'priority-review': [0.2, 0.7] }[route];
  const confidence = (low ?? 0) + ((high ?? 1) - (low ?? 0)) * next();
  const auditShare = month.auditShares[i < month.changesAt * month.conversations ? 0 : 1];
  const propensity = route === 'auto-approved' ? auditShare : 1;
  return {
    confidence,
    route,
    propensity,
    chosen: next() < propensity,
    right: next() < month.rightAt(confidence),
    unusable: next() < month.rejected,
    skipped: next() < month.skipped,
  };
}

/**
 * Whom people got to see, day by day, as `training_queue` has them: by class and doubt, and every eighth one an audit or one
 * drawn by hash, of the latest day that has any.
 */
function seenOf(month: Month, turns: readonly Turn[], next: () => number): readonly Turn[] {
  const seen: Turn[] = [];
  let main: readonly Turn[] = [];
  let lane: readonly Turn[] = [];
  for (let day = 1; day <= DAYS; day++) {
    const upTo = (d: number) => Math.floor((turns.length * d) / DAYS);
    const came = turns
      .slice(upTo(day - 1), upTo(day))
      .filter(({ chosen }) => chosen)
      .map((one) => ({ one, drawn: one.route === 'auto-approved' || next() < 1 / 16 }));
    const of = (which: boolean) => came.filter(({ drawn }) => drawn === which).map(({ one }) => one);
    lane = [...of(true), ...lane];
    main = [...main, ...of(false)].sort((a, b) => rank(a) - rank(b) || a.confidence - b.confidence);
    const taken = takeTurns(main, lane, seen.length, Math.round((month.reviews * day) / DAYS) - seen.length);
    seen.push(...taken);
    const gone = new Set(taken);
    main = main.filter((one) => !gone.has(one));
    lane = lane.filter((one) => !gone.has(one));
  }
  return seen;
}

function rank({ route }: Turn): number {
  return route === 'priority-review' ? 1 : 2;
}

function cell({ route, propensity, confidence, chosen, right, unusable }: Turn, answered: boolean): AuditCell {
  return {
    route,
    propensity,
    band: confidenceBand(confidence),
    conversations: 1,
    chosen: chosen ? 1 : 0,
    right: answered && right && !unusable ? 1 : 0,
    wrong: answered && !right && !unusable ? 1 : 0,
    unusable: answered && unusable ? 1 : 0,
  };
}
