import { type Conversation, type Known, isSure, uuidOf } from './conversation.ts';
import type { Draw } from './random.ts';
import type { Label } from './traffic/labels.ts';

interface Verdict {
  readonly verdict: 'approve' | 'correct' | 'reject' | 'skip';
  readonly corrected_intent?: string;
  readonly corrected_module?: string;
}

/** One line of reviews.jsonl; only the verdict `correct` has the two corrected fields. */
export interface Review extends Verdict {
  readonly conversation_id: string;
  readonly reviewer: string;
  readonly reviewed_at: string;
}

const reviewers = ['asha', 'ravi', 'meera', 'john'];
const shareOfUnsure = 0.45;
const shareOfSure = 0.043;
const secondThoughts = 10;

const isRight = ({ nlu_intent, nlu_module }: Conversation, truth: Label): boolean =>
  nlu_intent === truth.intent && nlu_module === truth.module;

const correction = (truth: Label): Verdict => ({
  verdict: 'correct',
  corrected_intent: truth.intent,
  corrected_module: truth.module,
});

const judge = ({ conversation, truth }: Known, draw: Draw): Verdict => {
  if (draw.chance(0.04)) return { verdict: 'skip' };
  if (!truth) return { verdict: draw.chance(0.9) ? 'reject' : 'skip' };
  if (isRight(conversation, truth)) return { verdict: 'approve' };
  return draw.chance(0.92) ? correction(truth) : { verdict: 'reject' };
};

/** The review, in the field order of the file. */
const review = (conversationId: string, verdict: Verdict, reviewer: string, at: number): Review => ({
  conversation_id: conversationId,
  ...verdict,
  reviewer,
  reviewed_at: new Date(at).toISOString(),
});

/** Five minutes to ten hours after `from`, mostly soon. */
const later = (from: number, draw: Draw): number => from + 300_000 + Math.floor(draw.unit() * draw.unit() * 35_700_000);

/** Reviews of nearly half of the doubtful conversations and a sample of the confident ones; some mistakes are corrected by a second review. */
export const drawReviews = (known: readonly Known[], draw: Draw): Review[] => {
  const reviews: Review[] = [];
  let changed = 0;
  for (const entry of known) {
    const { conversation, truth } = entry;
    if (!draw.chance(isSure(conversation) ? shareOfSure : shareOfUnsure)) continue;
    const reviewer = draw.pick(reviewers);
    const at = later(Date.parse(conversation.created_at), draw);
    const slip =
      truth && !isRight(conversation, truth) && changed < secondThoughts && draw.chance(0.15) ? truth : undefined;
    reviews.push(
      review(conversation.conversation_id, slip ? { verdict: 'approve' } : judge(entry, draw), reviewer, at),
    );
    if (!slip) continue;
    changed += 1;
    const second = draw.pick(reviewers.filter((name) => name !== reviewer));
    reviews.push(review(conversation.conversation_id, correction(slip), second, later(at, draw)));
  }
  return reviews.sort((a, b) => Date.parse(a.reviewed_at) - Date.parse(b.reviewed_at));
};

/** The lines of the file: the reviews, two for unknown conversations, and one with an unknown verdict. */
export const reviewLines = (reviews: readonly Review[]): string[] => {
  const at = (position: number): number => Date.parse(reviews[position]?.reviewed_at ?? '2026-10-15T08:00:00.000Z') + 1;
  const unknown = (position: number): readonly [number, unknown] => [
    position,
    review(uuidOf(`unknown ${position}`), { verdict: 'approve' }, 'john', at(position)),
  ];
  const extra: readonly (readonly [number, unknown])[] = [
    unknown(150),
    [
      310,
      { ...review(reviews[305]?.conversation_id ?? '', { verdict: 'approve' }, 'ravi', at(310)), verdict: 'maybe' },
    ],
    unknown(450),
  ];
  return reviews
    .flatMap((line, position) => [line, ...extra.filter(([after]) => after === position).map(([, added]) => added)])
    .map((line) => JSON.stringify(line));
};
