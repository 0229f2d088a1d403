import type { QueueScore } from '../schemas/types.ts';
import type { Projection } from '../stream/projection.ts';
import { topics } from '../topology.ts';

/** Scores by the version in production for items that were queued before it; the queue's order prefers them. */
export const queueScores: Projection<QueueScore> = {
  name: 'queue-scores',
  topic: topics.queueScores,
  table: 'queue_scores',
  key: 'conversation_id',
  columns: {
    conversation_id: 'text',
    model_version: 'text',
    intent: 'text',
    module: 'text',
    confidence: 'float8',
    score: 'float8',
    scored_at: 'timestamptz',
  },
  row: ({ conversation_id, model_version, intent, module, confidence, score, scored_at }) => [
    conversation_id,
    model_version,
    intent,
    module,
    confidence,
    score,
    scored_at,
  ],
};
