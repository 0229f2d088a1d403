/** Where a conversation stands after its reviews. Functions of values; the order is that of the log. */
import type { ConversationCaptured, ReviewStatus, ReviewSubmitted, RoutingDecision } from '../schemas/types.ts';
import { textHash } from './hash.ts';

/** Answers that a decision keeps, and ids of withdrawals that it remembers until their review comes. */
const MAX_ANSWERS = 8;
const MAX_WITHDRAWN = 16;

/**
 * A review's content as 16 hexadecimal digits; its identity where the sender gave none. Fields that were added later
 * and are absent leave no trace, so that an old review has the digest that it always had.
 */
export function reviewDigest(review: ReviewSubmitted): string {
  const { conversation_id, verdict, corrected_intent, corrected_module, reviewer, reviewed_at, ...added } = review;
  const present = Object.entries(added).filter(([, value]) => value !== null);
  return textHash(
    JSON.stringify({
      ...{ conversation_id, verdict, corrected_intent, corrected_module, reviewer, reviewed_at },
      ...Object.fromEntries(present),
    }),
  );
}

/** Whether a review only takes back an earlier one, and says nothing of its own. */
export function isUndo(review: Pick<ReviewSubmitted, 'verdict' | 'withdraws'>): boolean {
  return review.withdraws !== null && review.verdict === 'skip';
}

/** What a review must have to be counted. */
type Answer = Pick<ReviewSubmitted, 'verdict' | 'review_id' | 'withdraws'>;

/** What people have said of one conversation. */
export interface Answers<A extends Answer = ReviewSubmitted> {
  /** Those that stand, oldest first. */
  readonly answers: readonly A[];
  /** Reviews that were withdrawn before they came. */
  readonly withdrawn: readonly string[];
}

/** Of a conversation that nobody has answered. */
export const noAnswers = { answers: [], withdrawn: [] } as const;

/**
 * The answers after one more review. A withdrawal takes its answer out, whichever of the two came first. It waits where the
 * review is not there: the two may have come by different ways.
 */
export function withReview<A extends Answer>({ answers, withdrawn }: Answers<A>, review: A): Answers<A> {
  const known = review.withdraws === null || answers.some(({ review_id }) => review_id === review.withdraws);
  return {
    answers: answersAfter({ answers, withdrawn }, review),
    withdrawn: known ? withdrawn : [...withdrawn, review.withdraws].slice(-MAX_WITHDRAWN),
  };
}

/** The answer that counts: of those that are no skip the one that came last, whenever it was given, or else the last skip. */
export function countingAnswer<A extends Answer>(answers: readonly A[]): A | null {
  return answers.findLast(({ verdict }) => verdict !== 'skip') ?? answers.at(-1) ?? null;
}

/**
 * What an answer says of the prediction; undefined where it says nothing. A correction to what was predicted confirms it: tools
 * that always send the label may say it so. `kpi/read-accuracy.ts` says the same in SQL.
 */
export function judgement(
  {
    verdict,
    corrected_intent,
    corrected_module,
  }: Pick<ReviewSubmitted, 'verdict' | 'corrected_intent' | 'corrected_module'>,
  { nlu_intent, nlu_module }: Pick<ConversationCaptured, 'nlu_intent' | 'nlu_module'>,
): 'right' | 'wrong' | 'unusable' | undefined {
  switch (verdict) {
    case 'approve':
      return 'right';
    case 'correct':
      return corrected_intent === nlu_intent && corrected_module === nlu_module ? 'right' : 'wrong';
    case 'reject':
      return 'unusable';
    case 'skip':
      return undefined;
  }
}

/** The decision after one more review: the answer that came last counts, but a skip never takes back an answer. */
export function applyReview(decision: RoutingDecision, review: ReviewSubmitted): RoutingDecision {
  const { answers, withdrawn } = withReview({ answers: answersOf(decision), withdrawn: decision.withdrawn }, review);
  const counts = countingAnswer(answers);
  const changed = identity(counts) !== identity(decision.review);
  return {
    ...decision,
    revision: decision.revision + 1,
    review: counts,
    review_status: statusOf(decision, counts),
    answers,
    withdrawn,
    standing_since: changed ? review.reviewed_at : decision.standing_since,
    undone: changed ? counts !== review : decision.undone,
  };
}

/** The answers that stand, oldest first. Decisions from before they were kept have the one that counts. */
export function answersOf({ answers, review }: RoutingDecision): readonly ReviewSubmitted[] {
  return answers.length === 0 && review !== null ? [review] : answers;
}

function answersAfter<A extends Answer>({ answers, withdrawn }: Answers<A>, review: A): readonly A[] {
  const kept = answers.filter(({ review_id }) => review_id === null || review_id !== review.withdraws);
  const stillborn = review.review_id !== null && withdrawn.includes(review.review_id);
  if (stillborn || isUndo(review)) return kept;
  const all = [...kept, review];
  if (all.length <= MAX_ANSWERS) return all;
  const counts = countingAnswer(all);
  const oldest = all.findIndex((answer) => answer !== counts);
  return all.filter((_, i) => i !== oldest);
}

function identity(review: ReviewSubmitted | null): string | null {
  return review && (review.review_id ?? reviewDigest(review));
}

function statusOf({ route }: RoutingDecision, review: ReviewSubmitted | null): ReviewStatus {
  switch (review?.verdict) {
    case 'approve':
    case 'correct':
      return 'approved';
    case 'reject':
      return 'rejected';
    case 'skip':
      return route === 'auto_approved' ? 'auto_approved' : 'skipped';
    case undefined:
      return route === 'auto_approved' ? 'auto_approved' : 'needs_review';
  }
}
