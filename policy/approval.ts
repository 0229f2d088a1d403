/** Which label a conversation contributes, and how the set of approved samples changes with it. */
import type {
  ApprovedSampleCount,
  RoutingDecision,
  SampleApproved,
  SampleEvent,
  SampleWithdrawn,
} from '../schemas/types.ts';

/** The sample that the conversation yields now, or undefined when its label can't be trusted. */
export function sampleOf(decision: RoutingDecision): SampleApproved | undefined {
  const { conversation, review } = decision;
  const vouched = review?.verdict === 'approve' || review?.verdict === 'correct';
  if (!vouched && decision.review_status !== 'auto_approved') return undefined;
  return {
    conversation_id: decision.conversation_id,
    text: conversation.user_message,
    language: conversation.language,
    intent: (vouched ? review.corrected_intent : null) ?? conversation.nlu_intent,
    module: (vouched ? review.corrected_module : null) ?? conversation.nlu_module,
    entities: conversation.entities,
    source: vouched ? 'human' : 'auto',
    confidence: conversation.nlu_confidence,
    reviewer: vouched ? review.reviewer : null,
    policy_version: decision.policy_version,
    model_version: conversation.model_version,
    review_propensity: reviewPropensity(decision),
    captured_at: conversation.created_at,
    approved_at: vouched ? review.reviewed_at : conversation.created_at,
    stands: true,
    events: 0,
  };
}

function reviewPropensity({ route, audit, audit_propensity }: RoutingDecision): number | null {
  if (route !== 'auto_approved') return 1;
  return audit ? audit_propensity : null;
}

/**
 * The events that replace the last sample, if it still stands, with the current one; none when the label is the same.
 */
export function sampleChanges(
  last: SampleApproved | undefined,
  after: SampleApproved | undefined,
  decision: RoutingDecision,
): readonly SampleEvent[] {
  const before = last?.stands === true ? last : undefined;
  if (before && after && sameLabel(before, after)) return [];
  const id = decision.conversation_id;
  const events: SampleEvent[] = [];
  if (before)
    events.push({
      conversation_id: id,
      approved: null,
      withdrawn: withdrawal(before, after, decision),
      erased_at: null,
    });
  if (after) events.push({ conversation_id: id, approved: after, withdrawn: null, erased_at: null });
  return events;
}

/**
 * The events that overwrite every sample event of a conversation erased at `erased_at` (milliseconds since 1970), also
 * those of a sample that was withdrawn earlier. None when it never gave a sample.
 */
export function erasures(
  conversation_id: string,
  last: SampleApproved | undefined,
  erased_at: number,
): readonly SampleEvent[] {
  if (!last) return [];
  const erased = { conversation_id, approved: null, withdrawn: null, erased_at };
  const leaves = last.stands ? withdrawn(last, 'erased', erased_at) : null;
  return [...Array.from({ length: last.events - 1 }, () => erased), { ...erased, withdrawn: leaves }];
}

function withdrawal(
  before: SampleApproved,
  after: SampleApproved | undefined,
  decision: RoutingDecision,
): SampleWithdrawn {
  const at = decision.standing_since ?? decision.conversation.created_at;
  return withdrawn(before, withdrawalReason(before, after, decision), at);
}

function withdrawn(
  { conversation_id, intent, module, language }: SampleApproved,
  reason: string,
  withdrawn_at: number,
): SampleWithdrawn {
  return { conversation_id, intent, module, language, reason, withdrawn_at };
}

function withdrawalReason(
  before: SampleApproved,
  after: SampleApproved | undefined,
  { undone }: RoutingDecision,
): string {
  if (undone) return 'undone';
  if (!after) return 'rejected';
  return before.intent === after.intent && before.module === after.module ? 'relabelled' : 'corrected';
}

/** Whether label, source, reviewer and time are the same; reviews change nothing else about a sample. */
function sameLabel(a: SampleApproved, b: SampleApproved): boolean {
  return (
    a.intent === b.intent &&
    a.module === b.module &&
    a.source === b.source &&
    a.reviewer === b.reviewer &&
    a.approved_at === b.approved_at
  );
}

/**
 * The most distinct names per kind in a count. With names of maximal length they take half of the topic's record limit.
 */
const MAX_NAMES = 500;
/** Counts the samples of all other names. No intent, module or language can have this name. */
const OTHER = '(other)';

/** The count after one more event of training-samples. `offset` is the offset of that event. */
export function countSample(
  count: ApprovedSampleCount | undefined,
  event: SampleEvent,
  { dataSet, partition, offset }: { readonly dataSet: string; readonly partition: number; readonly offset: number },
): ApprovedSampleCount {
  const before = count ?? {
    data_set: dataSet,
    partition,
    approved: 0,
    approvals: 0,
    by_module: {},
    by_intent: {},
    by_language: {},
    next_offset: 0,
  };
  // A record that is read again, after the group's offsets expired or were reset, is already counted.
  if (offset < before.next_offset) return before;
  const label = event.approved ?? event.withdrawn;
  if (!label) return { ...before, next_offset: offset + 1 };
  const change = event.approved ? 1 : -1;
  return {
    ...before,
    approved: before.approved + change,
    approvals: before.approvals + Math.max(change, 0),
    by_module: add(before.by_module, label.module, change),
    by_intent: add(before.by_intent, `${label.module}/${label.intent}`, change),
    by_language: add(before.by_language, label.language, change),
    next_offset: offset + 1,
  };
}

function add(counts: Readonly<Record<string, number>>, name: string, change: number): Record<string, number> {
  const place = placeOf(name, counts);
  const { [place]: before, ...rest } = counts;
  // `hasOwn`, because a module may be named like a method that every object inherits, such as toString.
  const after = (before !== undefined && Object.hasOwn(counts, place) ? before : 0) + change;
  return after === 0 ? rest : { ...rest, [place]: after };
}

/**
 * The name under which a sample is counted. Once OTHER exists, a new name is counted there, and so is its withdrawal,
 * which has no count under its own name. So no count becomes negative, and their sum is the number of samples.
 */
function placeOf(name: string, counts: Readonly<Record<string, number>>): string {
  if (Object.hasOwn(counts, name)) return name;
  return Object.hasOwn(counts, OTHER) || Object.keys(counts).length >= MAX_NAMES ? OTHER : name;
}
