/** Every metric, measured once. */
import { openMeasurements } from '../../http/measurements.ts';
import type { PipelineFigures, ProcessFigures } from '../../http/process-metrics.ts';

/** A process that runs intake. */
export const oneComponent: ProcessFigures = {
  stats: {
    intake: { processed: 7, transactions: 2, deadLetters: 0, sessions: 1, assigned: 6, leading: 1, failures: 0 },
  },
  states: { kafka: 'ok' },
};

/** A pipeline in which everything happens. */
export const everything: PipelineFigures = {
  lag: [{ component: 'intake', topic: 't', lag: 3 }],
  queue: [
    { class: 1, waiting: 2, oldest: 1_790_000_000 },
    { class: 2, waiting: 0, oldest: null },
  ],
  training: {
    byStatus: { finished: 4, running: 1 },
    last: { outcome: 'reject', duration: 12.5, finishedAt: 1_790_000_100 },
    running: { epoch: 3, epochs: 40, startedAt: 1_790_000_200 },
  },
};

/** Measurements of a batch, of an answer, and of a text that no version answered. */
export function measuredOnce() {
  const measurements = openMeasurements();
  measurements.committed('intake', { records: 3, seconds: 0.02 });
  measurements.classified(
    [
      {
        ...{ intent: 'track_order', module: 'food', confidence: 0.9, out_of_scope: false, runners_up: [] },
        ...{ version: 'v2', route: 'auto-approved', route_reasons: [], policy_version: 'p' },
      },
    ],
    0.002,
  );
  measurements.classified([{ version: 'v1', problem: 'It has no file.' }], 0.1);
  return measurements;
}
