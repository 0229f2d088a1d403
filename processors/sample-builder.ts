import { erasure, sampleChanges, sampleOf } from '../policy/approval.ts';
import type { SampleApproved } from '../schemas/types.ts';
import type { Processor } from '../stream/processor.ts';
import { emit, onTable } from '../stream/processor.ts';
import { topics } from '../topology.ts';

/** Turns decisions into training samples: approved, withdrawn, or relabelled when a review says otherwise. */
export const sampleBuilder: Processor<SampleApproved> = {
  name: 'sample-builder',
  does: 'approves and withdraws training samples',
  table: topics.currentSamples,
  outputs: [topics.trainingSamples],
  inputs: [
    onTable(
      topics.routingDecisions,
      ({ value: decision, timestamp }, current) => {
        const id = decision.conversation_id;
        const after = sampleOf(decision);
        const changes = sampleChanges(current.get(id), after, decision);
        if (changes.length === 0) return [];
        return [
          ...changes.map((change) => emit(topics.trainingSamples, id, change, timestamp)),
          emit(topics.currentSamples, id, after ?? null, timestamp),
        ];
      },
      ({ key, timestamp }, current) => {
        const sample = current.get(key);
        return [
          emit(topics.trainingSamples, key, erasure(key, sample, timestamp), timestamp),
          ...(sample ? [emit(topics.currentSamples, key, null, timestamp)] : []),
        ];
      },
    ),
  ],
};
