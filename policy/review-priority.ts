/**
 * How useful a person's answer would be. Only what the conversation itself says goes in, so the score does not depend
 * on the order of arrival; what depends on the rest of the queue (near-duplicates, age) is ranked where the
 * whole queue is, in the view `training_queue`.
 */
import type { ConversationCaptured, ReviewItem, RoutingDecision } from '../schemas/types.ts';
import { textHash, unitHash } from './hash.ts';
import { answersOf } from './standing.ts';

/** Weights of doubt, failure and fallback; they add up to 1. */
const WEIGHTS = { doubt: 0.6, failure: 0.25, fallback: 0.15 } as const;

/**
 * Share of what is not audited that waits among the audits, and is shown as they are: without route, confidence and
 * rank. So whoever meets such an item can't tell whether the model was sure. `bench/audit.ts` assumes this share.
 */
const DRAWN_SHARE = 1 / 16;

/** The queue item for a conversation that waits for a person, or undefined when none needs to see it. */
export function reviewItem(decision: RoutingDecision): ReviewItem | undefined {
  if (!waits(decision)) return undefined;
  const { conversation } = decision;
  const drawn = decision.audit || drawnByChance(decision.conversation_id);
  return {
    conversation_id: decision.conversation_id,
    conversation,
    priority_class: priorityClass(decision),
    score: score(conversation, entropy(conversation.nlu_confidence)),
    reasons: [
      ...(drawn ? ['drawn-by-chance'] : decision.reasons),
      ...(conversation.response_success === false ? ['failed-response'] : []),
    ],
    fingerprint: textHash(normalise(conversation.user_message)),
    policy_version: decision.policy_version,
    drawn,
    answered_by: [...reviewersOf(decision)],
  };
}

/** Whether a conversation is of the share that waits among the audits, if it waits. */
export function drawnByChance(conversationId: string): boolean {
  return unitHash(`drawn/${conversationId}`) < DRAWN_SHARE;
}

/** How sure a model is of a text: probabilities of its answer and of the next likely one, 0 to 1; null where it says none. */
export interface Sureness {
  readonly confidence: number | null;
  readonly runnerUp: number;
}

/** What became of a conversation, whoever is asked about its text. */
export type Outcome = Pick<ConversationCaptured, 'response_success' | 'nlu_provider'>;

/**
 * How useful an answer to an item would be, 0 to 1: what the queue is ranked by within a class. Doubt is what the margin between
 * the two likeliest labels lacks of 1 (Scheffer, Decomain and Wrobel 2001); without runners-up, what the confidence lacks.
 */
export function usefulness({ conversation }: ReviewItem): number {
  const { nlu_confidence, runners_up } = conversation;
  return usefulnessBy({ confidence: nlu_confidence, runnerUp: runners_up[0]?.confidence ?? 0 }, conversation);
}

/** The same by what another model says of the text. */
export function usefulnessBy({ confidence, runnerUp }: Sureness, conversation: Outcome): number {
  const margin = confidence === null || Number.isNaN(confidence) ? 0 : confidence - runnerUp;
  return score(conversation, 1 - Math.min(1, Math.max(0, margin)));
}

function score({ response_success, nlu_provider }: Outcome, doubt: number): number {
  const { doubt: weight, failure, fallback } = WEIGHTS;
  return weight * doubt + failure * Number(response_success === false) + fallback * Number(nlu_provider === 'llm');
}

/** Whether a person still has to answer: it is not trusted, or audited, and too few people have. A skip is an answer. */
export function waits(decision: RoutingDecision): boolean {
  if (decision.route === 'auto_approved' && !decision.audit) return false;
  return reviewersOf(decision).size < (decision.overlap ? 2 : 1);
}

function reviewersOf(decision: RoutingDecision): ReadonlySet<string> {
  return new Set(answersOf(decision).map(({ reviewer }) => reviewer));
}

/** 1 priority review, 2 needs review, 3 audited. */
export function priorityClass(decision: RoutingDecision): number {
  return { priority_review: 1, needs_review: 2, auto_approved: 3 }[decision.route];
}

/**
 * Entropy of right or wrong, in bits: 1 at a confidence of one half, 0 at certainty; 1 when there is none. The record's score is
 * made of it for ever, so that a replay gives the same records; as an order it is wrong, because an answer at 0.05 counts as
 * less doubtful than one at 0.5, and `usefulness` took its place.
 */
function entropy(p: number | null): number {
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

const PICTURES = /\p{Extended_Pictographic}|\p{Regional_Indicator}{2}/gu;

/**
 * Equal for messages that are answered together. `normalise` drops pictures too, and the record's fingerprint is made of it for ever;
 * but 👍 and 👎 alone say the opposite, so here messages differ by the pictures that they have.
 */
export function groupKey(text: string): string {
  const plain = text.replaceAll(/[\uFE0E\uFE0F]/g, ''); // whether a picture has colours
  const pictures = new Set(plain.match(PICTURES) ?? []);
  return textHash([normalise(plain), ...pictures].join('\n'));
}
