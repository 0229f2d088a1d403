import { countSample } from '../policy/approval.ts';
import type { ApprovedSampleCount } from '../schemas/types.ts';
import type { Processor } from '../stream/processor.ts';
import { emit, on } from '../stream/processor.ts';
import { DATA_SET, topics } from '../topology.ts';

/** Counts the approved samples; the trainer waits for this count to pass its threshold. */
export const sampleCounter: Processor<ApprovedSampleCount> = {
  name: 'sample-counter',
  does: 'counts approved samples by module, intent and language',
  table: topics.approvedSampleCounts,
  lingers: true,
  outputs: [],
  inputs: [
    on(topics.trainingSamples, ({ value, partition, offset, timestamp }, counts) => {
      const key = `${DATA_SET}/${String(partition)}`;
      const count = countSample(counts.get(key), value, { dataSet: DATA_SET, partition, offset });
      return [emit(topics.approvedSampleCounts, key, count, timestamp)];
    }),
  ],
};
