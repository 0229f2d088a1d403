/** Every topic, declared once. `pipeline.ts` lists the components that read and write them. */
import { topic } from './stream/topic.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

/** The data set that all approved samples belong to. */
export const DATA_SET = 'default';

/**
 * Partitions of every topic about conversations: the same number everywhere, so that one task gets all records of a conversation. Topics
 * about models have one partition, because their events have one order.
 */
export const PARTITIONS = 6;

export const topics = {
  conversations: topic('conversations', {
    schema: 'ConversationCaptured',
    key: 'conversation id',
    keeps: { retentionMs: 7 * DAY_MS },
    external: true,
    holds: 'conversations as the NLU service sent them',
  }),
  reviews: topic('reviews', {
    schema: 'ReviewSubmitted',
    key: 'conversation id',
    keeps: { retentionMs: 7 * DAY_MS },
    external: true,
    holds: "reviewers' answers as sent",
  }),
  erasures: topic('erasures', {
    schema: 'ErasureRequested',
    key: 'conversation id',
    keeps: { retentionMs: 7 * DAY_MS },
    external: true,
    holds: 'requests to erase a conversation',
  }),
  policies: topic('policies', {
    schema: 'PolicyAdopted',
    key: 'policy / number',
    keeps: 'for ever',
    external: true,
    holds: 'routing policies as sent, one copy for each partition',
  }),
  intakeLedger: topic('intake-ledger', {
    schema: 'IntakeEntry',
    key: 'conversation id',
    keeps: 'latest per key',
    holds:
      'digests of records that intake has accepted, reviews waiting for their conversation, erased ids, the policy in force',
  }),
  conversationEvents: topic('conversation-events', {
    schema: 'ConversationEvent',
    key: 'conversation id',
    keeps: 'until erased',
    holds: 'the canonical log: captured, reviewed and erased, each once, in one order',
  }),
  adoptedPolicies: topic('adopted-policies', {
    schema: 'PolicyAdopted',
    key: 'policy version',
    keeps: 'for ever',
    holds: 'policies that came into force, each version once',
  }),
  routingDecisions: topic('routing-decisions', {
    schema: 'RoutingDecision',
    key: 'conversation id',
    keeps: 'latest per key',
    keepsTombstones: true,
    holds: 'route, reasons, policy version, audit and standing of each conversation',
  }),
  reviewQueue: topic('review-queue', {
    schema: 'ReviewItem',
    key: 'conversation id',
    keeps: 'latest per key',
    holds: 'items that wait for a person; a tombstone once answered or erased',
  }),
  queueScores: topic('queue-scores', {
    schema: 'QueueScore',
    key: 'conversation id',
    keeps: 'latest per key',
    partitions: 1,
    holds: 'how the version in production scores items that waited before it; a tombstone when no longer needed',
  }),
  trainingSamples: topic('training-samples', {
    schema: 'SampleEvent',
    key: 'conversation id',
    keeps: 'until erased',
    holds: 'samples approved and withdrawn',
  }),
  currentSamples: topic('current-samples', {
    schema: 'SampleApproved',
    key: 'conversation id',
    keeps: 'latest per key',
    holds: 'the latest sample of each conversation and whether it stands; a tombstone once erased',
  }),
  approvedSampleCounts: topic('approved-sample-counts', {
    schema: 'ApprovedSampleCount',
    key: 'data set / partition',
    keeps: 'latest per key',
    holds:
      'approved samples so far, by module, intent and language (500 names each, then (other)), and the offset counted up to',
  }),
  trainingRuns: topic('training-runs', {
    schema: 'TrainingRunEvent',
    key: 'run id',
    keeps: 'for ever',
    partitions: 1,
    holds: 'training runs: requested, started, each epoch, finished, failed, cancelled',
  }),
  modelEvents: topic('model-events', {
    schema: 'ModelEvent',
    key: 'version',
    keeps: 'for ever',
    partitions: 1,
    holds: 'model versions: registered, deployed, judged, measured, with their standing',
  }),
  exportJobs: topic('export-jobs', {
    schema: 'ExportJob',
    key: 'job id',
    keeps: 'for ever',
    partitions: 1,
    holds: 'exports of training data and their status',
  }),
  dailyReports: topic('daily-reports', {
    schema: 'DayClosed',
    key: 'day',
    keeps: 'for ever',
    partitions: 1,
    holds: 'the report on each closed day, written once',
  }),
  deadLetters: topic('dead-letters', {
    schema: 'DeadLetter',
    key: 'original key',
    keeps: { retentionMs: 30 * DAY_MS },
    maxRecordBytes: 4 * 1024 * 1024,
    holds: 'records that could not be processed: bytes, reason and origin; marks of letters that were sent again',
  }),
} as const;
