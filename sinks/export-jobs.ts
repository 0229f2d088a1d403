import type { ExportJob } from '../schemas/types.ts';
import type { Projection } from '../stream/projection.ts';
import { topics } from '../topology.ts';

/** Every export of training data. */
export const exportJobs: Projection<ExportJob> = {
  name: 'export-jobs',
  topic: topics.exportJobs,
  table: 'training_export_jobs',
  key: 'id',
  columns: {
    id: 'text',
    status: 'text',
    filters: 'jsonb',
    format: 'text',
    samples: 'int',
    output: 'text',
    sha256: 'text',
    manifest: 'jsonb',
    error: 'text',
    created_at: 'timestamptz',
    finished_at: 'timestamptz',
  },
  row: (job) => [
    job.job_id,
    job.status,
    job.filters,
    job.format,
    job.samples,
    job.output,
    job.sha256,
    job.manifest,
    job.failure,
    job.created_at,
    job.finished_at,
  ],
};
