import { erasures, sampleChanges, sampleOf } from '../policy/approval.ts';
import type { SampleApproved, SampleEvent } from '../schemas/types.ts';
import { eventKey } from '../stream/event-key.ts';
import type { Emission, Processor } from '../stream/processor.ts';
import { emit, onTable } from '../stream/processor.ts';
import { topics } from '../topology.ts';

/** Turns decisions into training samples: approved, withdrawn, or relabelled when a review says otherwise. */
export const sampleBuilder: Processor<SampleApproved> = {
  name: 'sample-builder',
  does: 'approves and withdraws training samples',
  table: topics.currentSamples,
  lingers: true,
  outputs: [topics.trainingSamples],
  inputs: [
    onTable(
      topics.routingDecisions,
      ({ value: decision, timestamp }, samples) => {
        const id = decision.conversation_id;
        const last = samples.get(id);
        const after = sampleOf(decision);
        const changes = sampleChanges(last, after, decision);
        const sample = after ?? last;
        if (changes.length === 0 || !sample) return [];
        const known = last?.events ?? 0;
        const events = known + changes.length;
        return [
          ...numbered(id, known, changes, timestamp),
          emit(topics.currentSamples, id, { ...sample, stands: after !== undefined, events }, timestamp),
        ];
      },
      ({ key: id, timestamp }, samples) => {
        const last = samples.get(id);
        return [
          ...numbered(id, 0, erasures(id, last, timestamp), timestamp),
          ...(last ? [emit(topics.currentSamples, id, null, timestamp)] : []),
        ];
      },
    ),
  ],
};

/** Gives each event of a conversation its own key, numbered after its `known` earlier events, so that an erasure can overwrite each. */
function numbered(id: string, known: number, events: readonly SampleEvent[], timestamp: number): Emission[] {
  return events.map((event, i) => emit(topics.trainingSamples, eventKey(id, known + i + 1), event, timestamp));
}
