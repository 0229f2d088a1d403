/** A simulated month of traffic with known truth, in the form in which the estimator of production accuracy sees it. */
import type { AuditCell } from '../policy/audit.ts';
import { confidenceBand } from '../policy/audit.ts';
import { groupBy } from '../policy/group-by.ts';
import { takeTurns } from '../policy/review-turns.ts';

/** The parameters of a month. Shares are 0 to 1. */
export interface Month {
  readonly name: string;
  readonly conversations: number;
  /** Share of auto-approved conversations that are audited, before and after `changesAt`: a policy may change within a month. */
  readonly auditShares: readonly [number, number];
  /** The share of the month's conversations that come before the change. */
  readonly changesAt: number;
  /** Share of the traffic that is auto-approved; a quarter of the rest is priority review. */
  readonly trusted: number;
  /** The probability that an answer with this confidence is right. */
  readonly rightAt: (confidence: number) => number;
  /** Mean length of a run of equal texts, which are all right or all wrong; 1 for no repeats. */
  readonly repeats: number;
  /** The number of keystrokes of people in the month. They follow the order of the queue; one answers all equal texts that wait. */
  readonly reviews: number;
  readonly skipped: number;
  readonly rejected: number;
}

/** The result of a month: the counts that the estimator gets, and the truth. */
export interface SimulatedMonth {
  readonly cells: readonly AuditCell[];
  /** Share of right answers among all conversations that have a right answer. */
  readonly truth: number;
}

/** The months of the bench and the test. The three routes get 60, 30 and 10 % of the traffic, as in the user's document. */
export const months: readonly Month[] = [
  { name: 'calibrated', ...usual() },
  { name: 'over-confident', ...usual(), rightAt: (c) => 0.25 + 0.65 * c },
  { name: 'nearly perfect', ...usual(), rightAt: (c) => 1 - (1 - c) / 5 },
  { name: 'half of the queue waits', ...usual(), reviews: 650 },
  { name: 'audit share changes', ...usual(), auditShares: [0.02, 0.1] },
  { name: 'audits begin late', ...usual(), auditShares: [0, 0.05], changesAt: 0.05 },
  { name: 'small: 700 conversations', ...usual(), conversations: 700, reviews: 280 },
  { name: 'equal texts', ...usual(), repeats: 10 },
  { name: 'equal texts, half of the groups wait', ...usual(), repeats: 10, reviews: 130 },
  { name: 'equal texts, nothing trusted', ...usual(), repeats: 10, trusted: 0, reviews: 350 },
];

function usual(): Omit<Month, 'name'> {
  return {
    conversations: 3000,
    auditShares: [0.05, 0.05],
    changesAt: 0.5,
    trusted: 0.6,
    repeats: 1,
    rightAt: (confidence) => confidence,
    reviews: 2000,
    skipped: 0.03,
    rejected: 0.02,
  };
}

/** The properties that equal texts share. */
interface Text {
  readonly confidence: number;
  readonly route: AuditCell['route'];
  readonly right: boolean;
  readonly unusable: boolean;
  readonly skipped: boolean;
}

interface Turn {
  readonly text: Text;
  readonly propensity: number;
  readonly chosen: boolean;
}

const DAYS = 30;

/** Simulates a month with random numbers from `next`. */
export function simulate(month: Month, next: () => number): SimulatedMonth {
  const turns = turnsOf(month, next);
  const answered = new Set(seenOf(month, turns, next).filter(({ text }) => !text.skipped));
  const usable = turns.filter(({ text }) => !text.unusable);
  return {
    cells: cellsOf(turns, answered),
    truth: usable.filter(({ text }) => text.right).length / usable.length,
  };
}

function turnsOf(month: Month, next: () => number): readonly Turn[] {
  let last: Text | undefined;
  return Array.from({ length: month.conversations }, (_, i) => {
    const [place, depth, chance] = [next(), next(), next()];
    const fresh = textOf(month, place, depth, next);
    const again = month.repeats > 1 && next() > 1 / month.repeats;
    const text = (again ? last : undefined) ?? fresh;
    last = text;
    const auditShare = month.auditShares[i < month.changesAt * month.conversations ? 0 : 1];
    const propensity = text.route === 'auto-approved' ? auditShare : 1;
    return { text, propensity, chosen: chance < propensity };
  });
}

function textOf(month: Month, place: number, depth: number, next: () => number): Text {
  const needsReview = 0.25 * month.trusted + 0.75;
  const route = place < month.trusted ? 'auto-approved' : place < needsReview ? 'needs-review' : 'priority-review';
  const [low, high] = { 'auto-approved': [0.85, 1], 'needs-review': [0.7, 0.85], 'priority-review': [0.2, 0.7] }[route];
  const confidence = (low ?? 0) + ((high ?? 1) - (low ?? 0)) * depth;
  return {
    confidence,
    route,
    right: next() < month.rightAt(confidence),
    unusable: next() < month.rejected,
    skipped: next() < month.skipped,
  };
}

/**
 * The conversations that people see, in the order of `training_queue`: day by day, by class and doubt. Every eighth item is an
 * audit or an item drawn by hash, from the latest day that has any. Waiting equal texts are answered together, except drawn ones.
 */
function seenOf(month: Month, turns: readonly Turn[], next: () => number): readonly Turn[] {
  const seen: Turn[] = [];
  let keystrokes = 0;
  let main: readonly Turn[] = [];
  let lane: readonly Turn[] = [];
  for (let day = 1; day <= DAYS; day++) {
    const upTo = (d: number) => Math.floor((turns.length * d) / DAYS);
    const came = turns
      .slice(upTo(day - 1), upTo(day))
      .filter(({ chosen }) => chosen)
      .map((one) => ({ one, drawn: one.text.route === 'auto-approved' || next() < 1 / 16 }));
    const of = (which: boolean) => came.filter(({ drawn }) => drawn === which).map(({ one }) => one);
    // The real lane orders a day at random. Here the order of arrival is already random, except for equal texts.
    lane = [...(month.repeats > 1 ? shuffled(of(true), next) : of(true)), ...lane];
    main = [...main, ...of(false)].sort((a, b) => rank(a) - rank(b) || a.text.confidence - b.text.confidence);
    const drawn = new Set(lane);
    const waiting = groupBy(main, ({ text }) => text);
    const leads = [...waiting.values()].flatMap(([lead]) => lead ?? []);
    const taken = takeTurns(leads, lane, keystrokes, Math.round((month.reviews * day) / DAYS) - keystrokes);
    keystrokes += taken.length;
    const gone = new Set(taken.flatMap((one) => (drawn.has(one) ? one : (waiting.get(one.text) ?? []))));
    seen.push(...gone);
    main = main.filter((one) => !gone.has(one));
    lane = lane.filter((one) => !gone.has(one));
  }
  return seen;
}

function shuffled<T>(items: readonly T[], next: () => number): readonly T[] {
  return items
    .map((item) => ({ item, place: next() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

function rank({ text }: Turn): number {
  return text.route === 'priority-review' ? 1 : 2;
}

/** Equal texts form one group; each audit is its own group, because it is drawn and answered alone. */
function groupOf(turn: Turn): Turn | Text {
  return turn.text.route === 'auto-approved' ? turn : turn.text;
}

/** One cell for each route, propensity and band, as Postgres counts them. */
function cellsOf(turns: readonly Turn[], answered: ReadonlySet<Turn>): readonly AuditCell[] {
  const cells = new Map<number, { -readonly [field in keyof AuditCell]: AuditCell[field] }>();
  for (const alike of groupBy(turns, groupOf).values()) {
    const [{ text, propensity }] = alike as [Turn];
    const { route, confidence, right, unusable } = text;
    const band = confidenceBand(confidence);
    const key = 2 * band + propensity; // each band belongs to one route
    let cell = cells.get(key);
    if (!cell) {
      const none = { conversations: 0, chosen: 0, right: 0, wrong: 0, unusable: 0, squares: 0 };
      cells.set(key, (cell = { route, propensity, band, ...none }));
    }
    const answers = alike.filter((one) => answered.has(one)).length;
    const judged = unusable ? 0 : answers;
    cell.conversations += alike.length;
    cell.chosen += alike.filter(({ chosen }) => chosen).length;
    cell.right += right ? judged : 0;
    cell.wrong += right ? 0 : judged;
    cell.unusable += unusable ? answers : 0;
    cell.squares += judged ** 2;
  }
  return [...cells.values()];
}
