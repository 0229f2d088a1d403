import { sketch } from '../policy/near-duplicates.ts';
import { normalise } from '../policy/review-priority.ts';
import type { ReviewItem } from '../schemas/types.ts';
import type { Projection } from '../stream/projection.ts';
import { topics } from '../topology.ts';

/** Items that wait for a person; the view `training_queue` ranks them. */
export const reviewQueue: Projection<ReviewItem> = {
  name: 'review-queue',
  topic: topics.reviewQueue,
  table: 'review_queue',
  lingers: true,
  key: 'conversation_id',
  columns: {
    conversation_id: 'text',
    user_message: 'text',
    language: 'text',
    nlu_intent: 'text',
    nlu_module: 'text',
    nlu_confidence: 'float8',
    nlu_provider: 'text',
    entities: 'jsonb',
    priority_class: 'smallint',
    score: 'float8',
    reasons: 'jsonb',
    fingerprint: 'text',
    sketch: 'jsonb',
    policy_version: 'text',
    model_version: 'text',
    runners_up: 'jsonb',
    drawn: 'boolean',
    answered_by: 'jsonb',
    created_at: 'timestamptz',
  },
  row: (item) => {
    const { conversation: c } = item;
    return [
      item.conversation_id,
      c.user_message,
      c.language,
      c.nlu_intent,
      c.nlu_module,
      c.nlu_confidence,
      c.nlu_provider,
      JSON.stringify(c.entities),
      item.priority_class,
      item.score,
      JSON.stringify(item.reasons),
      item.fingerprint,
      JSON.stringify(sketch(normalise(c.user_message))),
      item.policy_version,
      c.model_version,
      JSON.stringify(c.runners_up),
      item.drawn,
      JSON.stringify(item.answered_by),
      c.created_at,
    ];
  },
};
