/** Who answers and reviews in a simulation. Functions of values: chance comes in as a draw from 0 to 1. */
import type { ReviewInput } from '../producers/conversation-producer.ts';
import type { Classification, Unserved } from '../serving/classifier.ts';
import { labelName } from '../trainer/learning/classifier.ts';
import type { Label } from '../trainer/learning/classifier.ts';

/** What went to the user, and who said it. */
export interface Reply extends Label {
  readonly provider: 'indicbert' | 'llm';
  readonly confidence: number;
  /** Who was asked first, also where the LLM answered then; null where no version could be asked. */
  readonly version: string | null;
}

/** How good the others are. Shares are 0 to 1. */
export interface Actors {
  /** Share of its answers that are right, where the model is not sure or there is none. */
  readonly llmAccuracy: number;
  /** Share of reviews that say something else than the gold label. */
  readonly reviewerErrors: number;
}

/** Another label than `gold`, or `gold` where there is no other. */
function otherThan(gold: Label, labels: readonly Label[], draw: () => number): Label {
  const others = labels.filter((label) => labelName(label) !== labelName(gold));
  return others[Math.floor(draw() * others.length)] ?? gold;
}

/** The model's answer where the policy does not call its confidence low, else the LLM's, which knows the gold label most times. */
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

/** What a reviewer says of `reply`: approved, or corrected to the gold label, but for errors. */
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
