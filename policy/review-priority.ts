/**
 * How useful a person's answer would be. Only what the conversation itself says goes in, so the score does not depend
 * on the order of arrival; what depends on the rest of the queue (rarity, near-duplicates, age) is ranked where the
 * whole queue is, in the view `training_queue`.
 */
import type { ReviewItem, RoutingDecision } from '../schemas/types.ts';
import { textHash } from './hash.ts';

/** Weights of the score; they add up to 1. */
const WEIGHTS = { uncertainty: 0.6, failure: 0.25, fallback: 0.15 } as const;

/** The queue item for a conversation that waits for a person, or undefined when none needs to see it. */
export function reviewItem(decision: RoutingDecision): ReviewItem | undefined {
  if (!waits(decision)) return undefined;
  const { conversation } = decision;
  const parts = {
    uncertainty: uncertainty(conversation.nlu_confidence),
    failure: conversation.response_success === false ? 1 : 0,
    fallback: conversation.nlu_provider === 'llm' ? 1 : 0,
  };
  const blind = decision.audit;
  return {
    conversation_id: decision.conversation_id,
    conversation,
    priority_class: priorityClass(decision),
    score:
      WEIGHTS.uncertainty * parts.uncertainty + WEIGHTS.failure * parts.failure + WEIGHTS.fallback * parts.fallback,
    reasons: [...(blind ? ['sampled'] : decision.reasons), ...(parts.failure > 0 ? ['failed-response'] : [])],
    fingerprint: textHash(normalise(conversation.user_message)),
    policy_version: decision.policy_version,
  };
}

/** Whether a person still has to answer: nobody has, and it is not trusted, or it is trusted but audited. */
export function waits(decision: RoutingDecision): boolean {
  return decision.review === null && (decision.route !== 'auto_approved' || decision.audit);
}

/** 1 = first. */
function priorityClass(decision: RoutingDecision): number {
  return { priority_review: 1, needs_review: 2, auto_approved: 3 }[decision.route];
}

/** Entropy of right or wrong, in bits: 1 at a confidence of one half, 0 at certainty; 1 when there is none. */
function uncertainty(p: number | null): number {
  if (p === null || Number.isNaN(p)) return 1;
  if (p === 0 || p === 1) return 0;
  return -(p * Math.log2(p) + (1 - p) * Math.log2(1 - p));
}

/** The text without what near-duplicates differ in. Marks are kept: in Indic scripts they are vowels. */
export function normalise(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/\p{N}+/gu, '0')
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ')
    .trim();
}
