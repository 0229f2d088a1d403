import type { ConversationEvent } from '../schemas/types.ts';
import type { Projection } from '../stream/projection.ts';
import { topics } from '../topology.ts';

/** Which conversations were erased, when, why, and by whose request. Nothing else of them is kept. */
export const erasures: Projection<ConversationEvent> = {
  name: 'erasures',
  topic: topics.conversationEvents,
  table: 'erasures',
  lingers: true,
  key: 'conversation_id',
  keyOf: ({ conversation_id }) => conversation_id,
  columns: { conversation_id: 'text', requested_by: 'text', reason: 'text', erased_at: 'timestamptz' },
  row: ({ erased: e }) => (e ? [e.conversation_id, e.requested_by, e.reason, e.requested_at] : undefined),
};
