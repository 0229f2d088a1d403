/** The standing of a conversation after its reviews. Pure functions; reviews apply in the order of the log. */
import type { ConversationCaptured, ReviewStatus, ReviewSubmitted, RoutingDecision } from '../schemas/types.ts';
import { textHash } from './hash.ts';

/** Answers that a decision keeps, and ids of withdrawals that it keeps until their review arrives. */
const MAX_ANSWERS = 8;
const MAX_WITHDRAWN = 16;

/**
 * A digest of a review's content, 16 hexadecimal digits; its identity if the sender gave no id. Absent fields that were
 * added later are left out, so old reviews keep their digest.
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

/** Whether a review only withdraws an earlier one and carries no verdict. */
export function isUndo(review: Pick<ReviewSubmitted, 'verdict' | 'withdraws'>): boolean {
  return review.withdraws !== null && review.verdict === 'skip';
}

/** The fields of a review that decide whether it counts. */
type Answer = Pick<ReviewSubmitted, 'verdict' | 'review_id' | 'withdraws'>;

/** What people have answered about one conversation. */
export interface Answers<A extends Answer = ReviewSubmitted> {
  /** Answers in force, oldest first. */
  readonly answers: readonly A[];
  /** Ids of reviews that were withdrawn before they arrived. */
  readonly withdrawn: readonly string[];
}

/** The answers of a conversation without reviews. */
export const noAnswers = { answers: [], withdrawn: [] } as const;

/**
 * The answers after one more review. A withdrawal removes its answer in either order of arrival: if the review is not
 * there yet, the withdrawal is kept until it arrives, because the two may take different ways.
 */
export function withReview<A extends Answer>({ answers, withdrawn }: Answers<A>, review: A): Answers<A> {
  const known = review.withdraws === null || answers.some(({ review_id }) => review_id === review.withdraws);
  return {
    answers: answersAfter({ answers, withdrawn }, review),
    withdrawn: known ? withdrawn : [...withdrawn, review.withdraws].slice(-MAX_WITHDRAWN),
  };
}

/**
 * The answer that counts: the last one to arrive that is not a skip, whatever its review time; otherwise the last skip.
 */
export function countingAnswer<A extends Answer>(answers: readonly A[]): A | null {
  return answers.findLast(({ verdict }) => verdict !== 'skip') ?? answers.at(-1) ?? null;
}

/**
 * What an answer says about the prediction; undefined if nothing. A correction to the predicted label confirms it,
 * because some tools always send the label. `kpi/read-accuracy.ts` states the same rule in SQL.
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

/** The decision after one more review. The last answer counts, but a skip never replaces an answer. */
export function applyReview(decision: RoutingDecision, review: ReviewSubmitted): RoutingDecision {
  const { answers, withdrawn } = withReview(decision, review);
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
