import type { ConversationCaptured, IntakeEntry, ReviewSubmitted } from '../schemas/types.ts';
import { redact } from '../policy/redaction.ts';
import { textHash } from '../policy/hash.ts';
import { conversationProblems, reviewProblems } from '../policy/validation.ts';
import { Poison } from '../stream/poison.ts';
import type { Emission, LogRecord, Table } from '../stream/processor.ts';
import { emit, on } from '../stream/processor.ts';
import type { Processor } from '../stream/processor.ts';
import { topics } from '../topology.ts';
import { adoptPolicy, policyInForce } from './intake-policy.ts';
import { refuse } from './refuse.ts';

/** Reviews kept for a conversation that has not come yet, and reviews remembered for one that has. */
const MAX_PARKED = 16;
const MAX_REMEMBERED = 64;
const UNSEEN: IntakeEntry = { captured_digest: null, review_digests: [], parked_reviews: [], policy: null };

/** Decides once what the log holds: valid, each content once, personal data masked, a conversation before its reviews. */
export const intake: Processor<IntakeEntry> = {
  name: 'intake',
  does: 'validates, drops duplicates, masks personal data, puts reviews behind their conversation, notes the policy',
  table: topics.intakeLedger,
  outputs: [topics.conversationEvents, topics.adoptedPolicies],
  inputs: [
    on(topics.conversations, capture, (conversation) => conversation.conversation_id),
    on(topics.reviews, review, (submitted) => submitted.conversation_id),
    on(topics.policies, adoptPolicy, (adopted) => adopted.key),
  ],
};

function capture(
  { value, timestamp }: LogRecord<ConversationCaptured>,
  ledger: Table<IntakeEntry>,
): readonly Emission[] {
  refuse(conversationProblems(value, timestamp));
  const id = value.conversation_id;
  const entry = ledger.get(id) ?? UNSEEN;
  const digest = textHash(JSON.stringify(value));
  if (entry.captured_digest === digest) return [];
  if (entry.captured_digest !== null) {
    throw new Poison('conflicting-duplicate', `Conversation ${id} is in the log already, with other content.`);
  }
  return [
    emit(
      topics.conversationEvents,
      id,
      { conversation_id: id, captured: redact(value), reviewed: null, policy: policyInForce(ledger) },
      value.created_at,
    ),
    ...entry.parked_reviews.map(reviewed),
    emit(topics.intakeLedger, id, { ...entry, captured_digest: digest, parked_reviews: [] }, value.created_at),
  ];
}

function review({ value, timestamp }: LogRecord<ReviewSubmitted>, ledger: Table<IntakeEntry>): readonly Emission[] {
  refuse(reviewProblems(value, timestamp));
  const id = value.conversation_id;
  const entry = ledger.get(id) ?? UNSEEN;
  const digest = textHash(JSON.stringify(value));
  if (entry.review_digests.includes(digest)) return [];
  const review_digests = [...entry.review_digests, digest].slice(-MAX_REMEMBERED);
  if (entry.captured_digest !== null) {
    return [reviewed(value), emit(topics.intakeLedger, id, { ...entry, review_digests }, value.reviewed_at)];
  }
  if (entry.parked_reviews.length >= MAX_PARKED) {
    throw new Poison(
      'unknown-conversation',
      `${String(MAX_PARKED)} reviews wait for conversation ${id} already, which has not come.`,
    );
  }
  const parked_reviews = [...entry.parked_reviews, value];
  return [emit(topics.intakeLedger, id, { ...entry, review_digests, parked_reviews }, value.reviewed_at)];
}

function reviewed(value: ReviewSubmitted): Emission {
  return emit(
    topics.conversationEvents,
    value.conversation_id,
    { conversation_id: value.conversation_id, captured: null, reviewed: value, policy: null },
    value.reviewed_at,
  );
}
