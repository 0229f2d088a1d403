/**
 * Scores how useful a person's answer to a conversation would be. The score depends only on the conversation, never on
 * the order of arrival; the view `training_queue` adds what depends on the whole queue (near-duplicates, age).
 */
import type { ConversationCaptured, ReviewItem, RoutingDecision } from '../schemas/types.ts';
import { textHash, unitHash } from './hash.ts';

/** Weights of doubt, failure and fallback; they add up to 1. */
const WEIGHTS = { doubt: 0.6, failure: 0.25, fallback: 0.15 } as const;

/**
 * The share of non-audited conversations that waits in the lane of the audits and is shown like them: without route,
 * confidence and rank. So a reviewer of such an item can't tell whether the model was sure. `bench/audit.ts` assumes
 * this share.
 */
const DRAWN_SHARE = 1 / 16;

/** The queue item of a conversation that waits for a person, or undefined when it does not wait. */
export function reviewItem(decision: RoutingDecision): ReviewItem | undefined {
  if (!waits(decision)) return undefined;
  const { conversation } = decision;
  const drawn = decision.audit || drawnByChance(decision.conversation_id);
  return {
    conversation_id: decision.conversation_id,
    conversation,
    priority_class: priorityClass(decision),
    score: usefulness(conversation),
    reasons: [
      ...(drawn ? ['drawn-by-chance'] : decision.reasons),
      ...(conversation.response_success === false ? ['failed-response'] : []),
    ],
    fingerprint: groupKey(conversation.user_message),
    policy_version: decision.policy_version,
    drawn,
    answered_by: [...reviewersOf(decision)],
  };
}

/** Whether a conversation belongs to the share that waits in the lane of the audits, if it waits. */
export function drawnByChance(conversationId: string): boolean {
  return unitHash(`drawn/${conversationId}`) < DRAWN_SHARE;
}

/**
 * How sure a model is about a text: the probabilities of its answer and of the runner-up, 0 to 1; null if it gives
 * none.
 */
export interface Sureness {
  readonly confidence: number | null;
  readonly runnerUp: number;
}

/** The outcome of a conversation, independent of the model that rates its text. */
export type Outcome = Pick<ConversationCaptured, 'response_success' | 'nlu_provider'>;

/**
 * How useful an answer to an item would be, 0 to 1; ranks the queue within a class. Doubt is 1 − the margin between the
 * two most likely labels (Scheffer, Decomain and Wrobel 2001); without runners-up, 1 − the confidence.
 */
function usefulness(conversation: ConversationCaptured): number {
  const { nlu_confidence, runners_up } = conversation;
  return usefulnessBy({ confidence: nlu_confidence, runnerUp: runners_up[0]?.confidence ?? 0 }, conversation);
}

/** The same, from the probabilities that another model gives the text. */
export function usefulnessBy({ confidence, runnerUp }: Sureness, conversation: Outcome): number {
  const margin = confidence === null || Number.isNaN(confidence) ? 0 : confidence - runnerUp;
  return score(conversation, 1 - Math.min(1, Math.max(0, margin)));
}

function score({ response_success, nlu_provider }: Outcome, doubt: number): number {
  const { doubt: weight, failure, fallback } = WEIGHTS;
  return weight * doubt + failure * Number(response_success === false) + fallback * Number(nlu_provider === 'llm');
}

/**
 * Whether a person still has to answer: the conversation is untrusted or audited, and has too few answers. A skip
 * counts as an answer.
 */
export function waits(decision: RoutingDecision): boolean {
  if (decision.route === 'auto_approved' && !decision.audit) return false;
  return reviewersOf(decision).size < (decision.overlap ? 2 : 1);
}

function reviewersOf(decision: RoutingDecision): ReadonlySet<string> {
  return new Set(decision.answers.map(({ reviewer }) => reviewer));
}

/** 1 priority review, 2 needs review, 3 audited. */
export function priorityClass(decision: RoutingDecision): number {
  return { priority_review: 1, needs_review: 2, auto_approved: 3 }[decision.route];
}

/** The text without what near-duplicates differ in. Combining marks stay: in Indic scripts they are vowels. */
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
 * Equal for messages that are answered together. `normalise` drops emoji, but 👍 and 👎 alone mean the opposite, so this
 * key also includes the emoji.
 */
export function groupKey(text: string): string {
  const plain = text.replaceAll(/[\uFE0E\uFE0F]/g, ''); // variation selectors: text or colour
  const pictures = new Set(plain.match(PICTURES) ?? []);
  return textHash([normalise(plain), ...pictures].join('\n'));
}
