/** The history of a conversation, derived from its first decision and its reviews by the rules of the processors. */
import type { ReviewStatus, ReviewSubmitted, RoutingDecision } from '../schemas/types.ts';
import { sampleChanges, sampleOf } from './approval.ts';
import { applyReview, isUndo } from './standing.ts';

/**
 * One entry of a timeline. `at` is in milliseconds since 1970; the other fields depend on `what`. Null marks a value
 * that is not shown.
 */
export type TimelineEntry = { readonly at: number } & (
  | {
      readonly what: 'captured';
      readonly intent: string;
      readonly module: string;
      readonly confidence: number | null;
      readonly provider: string | null;
      readonly model_version: string | null;
    }
  | {
      readonly what: 'routed';
      readonly route: string | null;
      readonly reasons: readonly string[];
      readonly policy_version: string;
      readonly audit: boolean | null;
      readonly overlap: boolean;
    }
  | { readonly what: 'reviewed' | 'withdrew'; readonly review: ReviewSubmitted; readonly review_status: ReviewStatus }
  | {
      readonly what: 'sample approved';
      readonly intent: string;
      readonly module: string;
      readonly source: string;
      readonly reviewer: string | null;
    }
  | { readonly what: 'sample withdrawn'; readonly intent: string; readonly module: string; readonly reason: string }
);

/**
 * The whole timeline, oldest first. `first` is the decision before any review, `reviews` are in the order of the log.
 */
export function timeline(first: RoutingDecision, reviews: readonly ReviewSubmitted[]): readonly TimelineEntry[] {
  const { conversation: c, route, reasons, policy_version, audit, overlap } = first;
  const at = c.created_at;
  const entries: TimelineEntry[] = [
    {
      at,
      what: 'captured',
      intent: c.nlu_intent,
      module: c.nlu_module,
      confidence: c.nlu_confidence,
      provider: c.nlu_provider,
      model_version: c.model_version,
    },
    { at, what: 'routed', route, reasons, policy_version, audit, overlap },
    ...sampleEntries(undefined, first, at),
  ];
  let decision = first;
  for (const review of reviews) {
    const before = decision;
    decision = applyReview(before, review);
    entries.push({
      at: review.reviewed_at,
      what: isUndo(review) ? 'withdrew' : 'reviewed',
      review,
      review_status: decision.review_status,
    });
    entries.push(...sampleEntries(before, decision, review.reviewed_at));
  }
  return entries;
}

/**
 * The timeline of a drawn conversation that waits for a person, without anything that tells audits from other items.
 * Samples are left out, because an audited conversation has one from the start.
 */
export function blindStory(story: readonly TimelineEntry[]): readonly TimelineEntry[] {
  return story.flatMap((entry): TimelineEntry[] => {
    switch (entry.what) {
      case 'captured':
        return [{ ...entry, confidence: null, provider: null, model_version: null }];
      case 'routed':
        return [{ ...entry, route: null, reasons: ['drawn-by-chance'], audit: null }];
      case 'reviewed':
      case 'withdrew': {
        const standing = entry.what === 'reviewed' ? 'skipped' : 'needs_review';
        return [entry.review_status === 'auto_approved' ? { ...entry, review_status: standing } : entry];
      }
      default:
        return [];
    }
  });
}

function sampleEntries(before: RoutingDecision | undefined, after: RoutingDecision, at: number): TimelineEntry[] {
  return sampleChanges(before && sampleOf(before), sampleOf(after), after).flatMap(({ approved, withdrawn }) => {
    const entries: TimelineEntry[] = [];
    if (withdrawn) {
      const { intent, module, reason } = withdrawn;
      entries.push({ at, what: 'sample withdrawn', intent, module, reason });
    }
    if (approved) {
      const { intent, module, source, reviewer } = approved;
      entries.push({ at, what: 'sample approved', intent, module, source, reviewer });
    }
    return entries;
  });
}
