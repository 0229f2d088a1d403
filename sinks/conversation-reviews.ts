import type { ConversationEvent } from '../schemas/types.ts';
import { symbol } from '../stream/projection.ts';
import type { Projection } from '../stream/projection.ts';
import { topics } from '../topology.ts';

/**
 * Every review in the canonical log, superseded and withdrawn ones included: one row each, in the order of `log_offset`. Reviews of
 * an erased conversation are deleted.
 */
export const conversationReviews: Projection<ConversationEvent> = {
  name: 'conversation-reviews',
  topic: topics.conversationEvents,
  table: 'conversation_reviews',
  lingers: true,
  key: 'place',
  keyOf: ({ conversation_id }, offset) => placeOf(conversation_id, offset),
  forgets: { column: 'conversation_id', of: ({ erased }) => erased?.conversation_id },
  columns: {
    place: 'text',
    conversation_id: 'text',
    review_id: 'text',
    verdict: 'text',
    corrected_intent: 'text',
    corrected_module: 'text',
    reviewer: 'text',
    source: 'text',
    time_taken_ms: 'int',
    shown: 'jsonb',
    withdraws: 'text',
    reviewed_at: 'timestamptz',
  },
  row: ({ reviewed: r }, offset) =>
    r
      ? [
          placeOf(r.conversation_id, offset),
          r.conversation_id,
          r.review_id,
          r.verdict,
          r.corrected_intent,
          r.corrected_module,
          r.reviewer,
          r.source === null ? null : symbol(r.source),
          r.time_taken_ms,
          r.shown === null ? null : JSON.stringify(r.shown),
          r.withdraws,
          r.reviewed_at,
        ]
      : undefined,
};

/** A review's place in the log: a conversation's events are all in one partition, so this names one record. */
function placeOf(conversationId: string, offset: number): string {
  return `${conversationId}/${String(offset)}`;
}
