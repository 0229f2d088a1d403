/** Records that tests start from. */
import type { ConversationCaptured, ErasureRequested, ReviewSubmitted, SampleApproved } from '../schemas/types.ts';

/** A trusted conversation, with `fields` changed; another message has no entities unless they are given. */
export function conversation(fields: Partial<ConversationCaptured> = {}): ConversationCaptured {
  return {
    conversation_id: 'conversation-1',
    user_id: 'u-1',
    session_id: null,
    user_message: 'मेरा ऑर्डर 4521 कहाँ है?',
    language: 'hi',
    nlu_intent: 'track_order',
    nlu_module: 'food',
    nlu_confidence: 0.93,
    nlu_provider: 'indicbert',
    model_version: 'router-v1.0.0',
    entities: fields.user_message === undefined ? [{ name: 'order_id', value: '4521', start: 11, end: 15 }] : [],
    routing_target: 'opensearch',
    response_success: true,
    processing_time_ms: 41,
    created_at: Date.UTC(2026, 9, 5, 9, 30),
    runners_up: [],
    ...fields,
  };
}

/** An answer of a reviewer; a correction says cancel_order. */
export function review(fields: Partial<ReviewSubmitted> = {}): ReviewSubmitted {
  const corrects = fields.verdict === 'correct';
  return {
    conversation_id: 'conversation-1',
    verdict: 'approve',
    corrected_intent: corrects ? 'cancel_order' : null,
    corrected_module: corrects ? 'food' : null,
    reviewer: 'asha',
    reviewed_at: Date.UTC(2026, 9, 5, 12, 0),
    review_id: null,
    source: null,
    time_taken_ms: null,
    shown: null,
    withdraws: null,
    ...fields,
  };
}

/** A sample that a person approved. */
export function sample(fields: Partial<SampleApproved> = {}): SampleApproved {
  return {
    conversation_id: 'c-1',
    text: 'where is my order',
    language: 'en',
    intent: 'track_order',
    module: 'food',
    entities: [],
    source: 'human',
    confidence: 0.75,
    reviewer: 'asha',
    policy_version: 'routing-v1',
    model_version: 'router-v1.0.0',
    review_propensity: null,
    captured_at: Date.UTC(2026, 10, 1),
    approved_at: Date.UTC(2026, 10, 2),
    stands: true,
    events: 0,
    ...fields,
  };
}

/** A request to erase the conversation, an hour after the review. */
export function erasure(fields: Partial<ErasureRequested> = {}): ErasureRequested {
  return {
    conversation_id: 'conversation-1',
    requested_by: 'meera',
    reason: 'case 17',
    requested_at: Date.UTC(2026, 9, 5, 13, 0),
    ...fields,
  };
}

/** A conversation in the form of `POST /v1/conversations`, which gets priority review. */
export function sentConversation(conversation_id: string) {
  return {
    conversation_id,
    user_message: 'refund kab milega?',
    language: 'hi-Latn',
    nlu_intent: 'refund_status',
    nlu_module: 'payment',
    nlu_confidence: 0.5,
    nlu_provider: 'indicbert',
    created_at: '2026-10-05T09:30:00Z',
  };
}
