import type {
  ConversationCaptured,
  ConversationEvent,
  ErasureRequested,
  IntakeEntry,
  ReviewSubmitted,
} from '../schemas/types.ts';
import { withCanonicalTag } from '../policy/language.ts';
import { redact } from '../policy/redaction.ts';
import { textHash } from '../policy/hash.ts';
import { reviewDigest } from '../policy/standing.ts';
import { conversationProblems, erasureProblems, reviewProblems } from '../policy/validation.ts';
import { eventKey } from '../stream/event-key.ts';
import { Poison } from '../stream/poison.ts';
import type { Emission, LogRecord, Table } from '../stream/processor.ts';
import { emit, on } from '../stream/processor.ts';
import type { Processor } from '../stream/processor.ts';
import { topics } from '../topology.ts';
import { adoptPolicy, policyInForce, UNSEEN } from './intake-policy.ts';
import { refuse } from './refuse.ts';

/** Reviews kept for a conversation that has not arrived yet. */
const MAX_PARKED = 16;
/** Most reviews of one conversation. There is a limit because each is remembered, so that it counts once and an erasure finds it. */
const MAX_REVIEWS = 64;

/** Decides what the canonical log holds: valid records, each once, personal data masked, a conversation before its reviews. */
export const intake: Processor<IntakeEntry> = {
  name: 'intake',
  does: 'validates, drops duplicates, masks personal data, puts reviews after their conversation, applies policies, erases',
  table: topics.intakeLedger,
  outputs: [topics.conversationEvents, topics.adoptedPolicies],
  inputs: [
    on(topics.conversations, capture, (conversation) => conversation.conversation_id),
    on(topics.reviews, review, (submitted) => submitted.conversation_id),
    on(topics.erasures, erase, (requested) => requested.conversation_id),
    on(topics.policies, adoptPolicy, (adopted) => adopted.key),
  ],
};

function capture(
  { value, timestamp }: LogRecord<ConversationCaptured>,
  ledger: Table<IntakeEntry>,
): readonly Emission[] {
  const id = value.conversation_id;
  const entry = ledger.get(id) ?? UNSEEN;
  refuseErased(id, entry);
  refuse(conversationProblems(value, timestamp));
  const digest = conversationDigest(value);
  if (entry.captured_digest === digest) return [];
  if (entry.captured_digest !== null) {
    throw new Poison('conflicting-duplicate', `Conversation ${id} is in the log already, with other content.`);
  }
  return [
    logged(id, id, { captured: withCanonicalTag(redact(value)), policy: policyInForce(ledger) }, value.created_at),
    ...entry.parked_reviews.map(reviewed),
    emit(topics.intakeLedger, id, { ...entry, captured_digest: digest, parked_reviews: [] }, value.created_at),
  ];
}

function review({ value, timestamp }: LogRecord<ReviewSubmitted>, ledger: Table<IntakeEntry>): readonly Emission[] {
  const id = value.conversation_id;
  const entry = ledger.get(id) ?? UNSEEN;
  refuseErased(id, entry);
  refuse(reviewProblems(value, timestamp));
  const digest = reviewDigest(value);
  const mark = value.review_id === null ? digest : `${textHash(value.review_id)}/${digest}`;
  if (entry.review_digests.includes(mark)) return [];
  if (value.review_id !== null && entry.review_digests.some((seen) => idPart(seen) === idPart(mark))) {
    throw new Poison(
      'conflicting-duplicate',
      `Review ${value.review_id} of conversation ${id} is in the log already, with other content.`,
    );
  }
  if (entry.review_digests.length >= MAX_REVIEWS)
    throw new Poison('too-many-reviews', `The log already has ${String(MAX_REVIEWS)} reviews of conversation ${id}.`);
  const review_digests = [...entry.review_digests, mark];
  const identified = { ...value, review_id: value.review_id ?? digest };
  if (entry.captured_digest !== null) {
    return [reviewed(identified), emit(topics.intakeLedger, id, { ...entry, review_digests }, value.reviewed_at)];
  }
  if (entry.parked_reviews.length >= MAX_PARKED) {
    throw new Poison(
      'unknown-conversation',
      `${String(MAX_PARKED)} reviews already wait for conversation ${id}, which has not arrived.`,
    );
  }
  const parked_reviews = [...entry.parked_reviews, identified];
  return [emit(topics.intakeLedger, id, { ...entry, review_digests, parked_reviews }, value.reviewed_at)];
}

/**
 * The ledger keeps only the fact that a conversation was erased, so that it can't come back. The erasure is written to the log under the
 * key of each event of the conversation, so that compaction removes them: reviews first, because the log must never hold a review without
 * its conversation before it.
 */
function erase({ value, timestamp }: LogRecord<ErasureRequested>, ledger: Table<IntakeEntry>): readonly Emission[] {
  refuse(erasureProblems(value, timestamp));
  const { conversation_id: id, requested_at } = value;
  const entry = ledger.get(id) ?? UNSEEN;
  if (entry.erased_at !== null) return [];
  if (entry.captured_digest === null)
    throw new Poison('unknown-conversation', `Conversation ${id} has not arrived, so there is nothing to erase.`);
  const keys = [...entry.review_digests.map((mark) => eventKey(id, idPart(mark) ?? textHash(mark))), id];
  return [
    ...keys.map((key) => logged(key, id, { erased: value }, requested_at)),
    emit(topics.intakeLedger, id, { ...UNSEEN, erased_at: requested_at }, requested_at),
  ];
}

/** Comes before all other checks, because what a record says about an erased conversation must not stay in a dead letter. */
function refuseErased(id: string, { erased_at }: IntakeEntry): void {
  if (erased_at === null) return;
  throw new Poison('erased', `Conversation ${id} was erased at ${new Date(erased_at).toISOString()}.`, {
    withhold: true,
  });
}

/** The digest of a conversation's content. Without runners-up it is the same as before this field existed. */
function conversationDigest({ runners_up, ...conversation }: ConversationCaptured): string {
  return textHash(JSON.stringify(runners_up.length > 0 ? { ...conversation, runners_up } : conversation));
}

/** The part of a mark that stands for the review's id; undefined if the sender gave no id. */
function idPart(mark: string): string | undefined {
  return mark.includes('/') ? mark.slice(0, mark.indexOf('/')) : undefined;
}

function reviewed(value: ReviewSubmitted): Emission {
  const { conversation_id: id, review_id } = value;
  return logged(eventKey(id, textHash(review_id ?? reviewDigest(value))), id, { reviewed: value }, value.reviewed_at);
}

function logged(key: string, id: string, event: Partial<ConversationEvent>, at: number): Emission {
  const nothing = { captured: null, reviewed: null, policy: null, erased: null };
  return emit(topics.conversationEvents, key, { ...nothing, ...event, conversation_id: id }, at);
}
