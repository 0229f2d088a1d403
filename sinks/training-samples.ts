import type { SampleEvent } from '../schemas/types.ts';
import type { Projection } from '../stream/projection.ts';
import { topics } from '../topology.ts';

/**
 * The samples that may be used for training now. A withdrawn sample leaves the table; the log keeps its history. People read the view
 * `training_samples`, which adds the version that first trained on each sample.
 */
export const trainingSamples: Projection<SampleEvent> = {
  name: 'training-samples',
  topic: topics.trainingSamples,
  table: 'training_sample_rows',
  lingers: true,
  key: 'conversation_id',
  keyOf: ({ conversation_id }) => conversation_id,
  columns: {
    conversation_id: 'text',
    text: 'text',
    language: 'text',
    intent: 'text',
    module_type: 'text',
    entities: 'jsonb',
    source: 'text',
    confidence: 'float8',
    review_status: 'text',
    reviewer: 'text',
    policy_version: 'text',
    created_at: 'timestamptz',
    approved_at: 'timestamptz',
  },
  row: ({ approved: s }) =>
    s && [
      s.conversation_id,
      s.text,
      s.language,
      s.intent,
      s.module,
      JSON.stringify(s.entities),
      s.source,
      s.confidence,
      'approved',
      s.reviewer,
      s.policy_version,
      s.captured_at,
      s.approved_at,
    ],
};
