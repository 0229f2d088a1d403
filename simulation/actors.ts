/** Simulates the LLM and the reviewers. Pure functions: randomness comes in as draws from 0 to 1. */
import type { ReviewInput } from '../producers/conversation-producer.ts';
import type { Classification, Unserved } from '../serving/classifier.ts';
import { labelName } from '../trainer/learning/classifier.ts';
import type { Label } from '../trainer/learning/classifier.ts';

/** The reply to the user, and who gave it. */
export interface Reply extends Label {
  readonly provider: 'indicbert' | 'llm';
  readonly confidence: number;
  /** The version that was asked first, even if the LLM answered; null when no version could be asked. */
  readonly version: string | null;
}

/** The quality of the simulated LLM and reviewers. Shares are 0 to 1. */
export interface Actors {
  /** Share of right answers of the LLM, which replies when the model is not sure or there is none. */
  readonly llmAccuracy: number;
  /** Share of reviews that differ from the gold label. */
  readonly reviewerErrors: number;
}

/** A random label other than `gold`, or `gold` if there is no other. */
function otherThan(gold: Label, labels: readonly Label[], draw: () => number): Label {
  const others = labels.filter((label) => labelName(label) !== labelName(gold));
  return others[Math.floor(draw() * others.length)] ?? gold;
}

/**
 * The model's answer, unless the policy calls its confidence low; then the LLM's, which is right with `llmAccuracy`.
 */
export function replyTo(
  answer: Classification | Unserved,
  gold: Label,
  labels: readonly Label[],
  { llmAccuracy }: Actors,
  draw: () => number,
): Reply {
  if (!('problem' in answer) && answer.route !== 'priority-review') {
    const { intent, module, confidence, version } = answer;
    return { intent, module, confidence, version, provider: 'indicbert' };
  }
  const { intent, module } = draw() < llmAccuracy ? gold : otherThan(gold, labels, draw);
  const version = 'problem' in answer ? null : answer.version;
  return { intent, module, confidence: 0.5 + 0.45 * draw(), version, provider: 'llm' };
}

/** The review of `reply`: approval, or correction to the gold label, with some errors. */
export function verdictOn(
  reply: Label,
  gold: Label,
  labels: readonly Label[],
  { reviewerErrors }: Actors,
  draw: () => number,
): Pick<ReviewInput, 'verdict' | 'corrected_intent' | 'corrected_module'> {
  const said = draw() < reviewerErrors ? otherThan(gold, labels, draw) : gold;
  if (labelName(said) === labelName(reply)) return { verdict: 'approve' };
  return { verdict: 'correct', corrected_intent: said.intent, corrected_module: said.module };
}
