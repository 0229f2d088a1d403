/** Measurements recorded as they happen, for Prometheus; `process-metrics.ts` has those read on request. */
import { Counter, Histogram, Registry } from 'prom-client';
import type { CommittedBatch } from '../runtime/group-session.ts';
import type { OnClassified } from '../serving/classifier.ts';

/** The measurements of one process. */
export interface Measurements {
  readonly registry: Registry;
  /** Called when a component has committed a batch. */
  readonly committed: (component: string, batch: Pick<CommittedBatch, 'records' | 'seconds'>) => void;
  readonly classified: OnClassified;
}

const COMMIT_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const BATCH_RECORDS = [1, 5, 10, 50, 100, 500, 1000, 2500, 5000, 10_000];
const CLASSIFY_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** Creates empty measurements. */
export function openMeasurements(): Measurements {
  const registry = new Registry();
  const registers = [registry];
  const commitSeconds = new Histogram({
    name: 'samvad_component_commit_duration_seconds',
    help: 'Duration of a transaction, from its first write to its end: Kafka for processors, Postgres for projections',
    ...{ registers, labelNames: ['component'], buckets: COMMIT_SECONDS },
  });
  const batchRecords = new Histogram({
    name: 'samvad_component_batch_records',
    help: 'Records in a transaction',
    ...{ registers, labelNames: ['component'], buckets: BATCH_RECORDS },
  });
  const classifySeconds = new Histogram({
    name: 'samvad_classify_duration_seconds',
    help: 'Time that a version takes to answer the texts of a request, without HTTP',
    ...{ registers, labelNames: ['version', 'texts'], buckets: CLASSIFY_SECONDS },
  });
  const answers = new Counter({
    name: 'samvad_classify_answers_total',
    help: 'Texts answered, by version and by the route under the policy in force',
    ...{ registers, labelNames: ['version', 'route'] },
  });
  const unserved = new Counter({
    name: 'samvad_classify_unserved_total',
    help: 'Texts without an answer from this server, by the version in charge',
    ...{ registers, labelNames: ['version'] },
  });
  return {
    registry,
    committed(component, { records, seconds }) {
      commitSeconds.observe({ component }, seconds);
      batchRecords.observe({ component }, records);
    },
    classified(results, seconds) {
      for (const result of results) {
        const { version } = result;
        if ('problem' in result) unserved.inc({ version });
        else answers.inc({ version, route: result.route });
      }
      const [first] = results;
      if (!first || 'problem' in first) return;
      classifySeconds.observe({ version: first.version, texts: results.length === 1 ? 'one' : 'many' }, seconds);
    },
  };
}
