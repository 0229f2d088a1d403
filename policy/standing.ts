/** Where a conversation stands after its reviews. Functions of values; the order is that of the log. */
import type { ReviewStatus, ReviewSubmitted, RoutingDecision } from '../schemas/types.ts';
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
export function isUndo(review: ReviewSubmitted): boolean {
  return review.withdraws !== null && review.verdict === 'skip';
}

/**
 * The decision after one more review. The answer that came last counts, whenever it was given, but a skip never takes back an
 * answer. A withdrawal takes its answer out, whichever of the two came first, and the latest of the others counts again.
 */
export function applyReview(decision: RoutingDecision, review: ReviewSubmitted): RoutingDecision {
  const withdrawn = withdrawnAfter(decision, review);
  const answers = answersAfter(decision, review);
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

function answersAfter(decision: RoutingDecision, review: ReviewSubmitted): readonly ReviewSubmitted[] {
  const kept = answersOf(decision).filter(({ review_id }) => review_id === null || review_id !== review.withdraws);
  const stillborn = review.review_id !== null && decision.withdrawn.includes(review.review_id);
  if (stillborn || isUndo(review)) return kept;
  const answers = [...kept, review];
  if (answers.length <= MAX_ANSWERS) return answers;
  const counts = countingAnswer(answers);
  const oldest = answers.findIndex((answer) => answer !== counts);
  return answers.filter((_, i) => i !== oldest);
}

/** A withdrawal whose review is not among the answers waits for it: the two may have come by different ways. */
function withdrawnAfter(decision: RoutingDecision, { withdraws }: ReviewSubmitted): readonly string[] {
  if (withdraws === null || answersOf(decision).some(({ review_id }) => review_id === withdraws))
    return decision.withdrawn;
  return [...decision.withdrawn, withdraws].slice(-MAX_WITHDRAWN);
}

/** The latest that is no skip, or else the latest. */
function countingAnswer(answers: readonly ReviewSubmitted[]): ReviewSubmitted | null {
  return answers.findLast(({ verdict }) => verdict !== 'skip') ?? answers.at(-1) ?? null;
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
