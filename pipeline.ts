/**
 * Every processor, projection and service, listed once; `topology.ts` lists the topics. Requests of people and programs
 * are answered outside the pipeline, in `http/`: with `review/` for the queue and `serving/` for the models.
 */
import { scheduler } from './jobs/scheduler.ts';
import { labelStudio } from './label-studio/label-studio.ts';
import { confidenceRouter } from './processors/confidence-router.ts';
import { intake } from './processors/intake.ts';
import { reviewPrioritizer } from './processors/review-prioritizer.ts';
import { sampleBuilder } from './processors/sample-builder.ts';
import { sampleCounter } from './processors/sample-counter.ts';
import type { Service } from './runtime/service.ts';
import { conversationLogs } from './sinks/conversation-logs.ts';
import { conversationReviews } from './sinks/conversation-reviews.ts';
import { dailyReports } from './sinks/daily-reports.ts';
import { erasures } from './sinks/erasures.ts';
import { exportJobs } from './sinks/export-jobs.ts';
import { modelDeployments } from './sinks/model-deployments.ts';
import { modelVersions } from './sinks/model-versions.ts';
import { policies } from './sinks/policies.ts';
import { queueScores } from './sinks/queue-scores.ts';
import { reviewQueue } from './sinks/review-queue.ts';
import { trainingRuns } from './sinks/training-runs.ts';
import { trainingSamples } from './sinks/training-samples.ts';
import type { Processor } from './stream/processor.ts';
import type { Projection } from './stream/projection.ts';
import { deploymentController } from './trainer/rollout/deployment-controller.ts';
import { queueRescorer } from './trainer/rollout/queue-rescorer.ts';
import { trainer } from './trainer/trainer.ts';

/** The processors, in the order in which a conversation meets them. */
export const processors: readonly Processor[] = [
  intake,
  confidenceRouter,
  reviewPrioritizer,
  sampleBuilder,
  sampleCounter,
];

/** The processor that writes a topic; undefined for an external topic or one that a service writes. */
export function writerOf(topic: string): string | undefined {
  return processors.find(({ outputs, table }) =>
    [...outputs, table].some(({ name, external }) => name === topic && !external),
  )?.name;
}

/** The projections, each of which fills a Postgres table from the log. */
export const projections: readonly Projection[] = [
  conversationLogs,
  conversationReviews,
  erasures,
  trainingSamples,
  reviewQueue,
  policies,
  modelVersions,
  modelDeployments,
  trainingRuns,
  exportJobs,
  dailyReports,
  queueScores,
];

/** The services. Each may run in any number of copies, of which one does the work. */
export const services: readonly Service[] = [trainer, deploymentController, queueRescorer, labelStudio, scheduler];
