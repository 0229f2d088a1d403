/** Prometheus metrics of one process: the work of its components, their state, and resource use. */
import { setTimeout as sleep } from 'node:timers/promises';
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { shared } from './shared.ts';

/** The current figures. */
export interface ProcessFigures {
  /** By component: counters since the start, and the number of partitions. */
  readonly stats: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** By component or server: `ok`, or a sentence about the problem. */
  readonly states: Readonly<Record<string, string>>;
}

/** The state of the whole pipeline. Only the process with the API reads it, so that not every copy does. */
export interface PipelineFigures {
  readonly lag: readonly { readonly component: string; readonly topic: string; readonly lag: number }[];
  /**
   * The conversations that wait for a person, by class (1 first): number, and time of the oldest in seconds since 1970.
   */
  readonly queue: readonly { readonly class: number; readonly waiting: number; readonly oldest: number | null }[];
  readonly training: TrainingFigures;
}

/** Training runs; durations in seconds, times in seconds since 1970. */
export interface TrainingFigures {
  readonly byStatus: Readonly<Record<string, number>>;
  /** The run that ended last. Its duration is null if it ended before it began. */
  readonly last: { readonly outcome: string; readonly duration: number | null; readonly finishedAt: number } | null;
  readonly running: { readonly epoch: number; readonly epochs: number; readonly startedAt: number } | null;
}

/** The outcomes of a training run: the verdict on its model, or that it made none. */
const OUTCOMES = ['promote', 'reject', 'inconclusive', 'failed', 'cancelled'] as const;
const STATUSES = ['requested', 'running', 'finished', 'failed', 'cancelled'] as const;

/** Counters of components, by their name in `stats`: metric name and help text. They start at 0 with the process. */
const COUNTERS: Readonly<Record<string, readonly [name: string, help: string]>> = {
  processed: ['samvad_component_records_total', 'Records processed and committed'],
  transactions: ['samvad_component_transactions_total', 'Transactions committed'],
  deadLetters: ['samvad_component_dead_letters_total', 'Records set aside as dead letters'],
  sessions: ['samvad_component_sessions_total', 'Sessions begun; each failure and each start begins one'],
  failures: ['samvad_component_failures_total', 'Jobs or synchronisations of a service that failed'],
};
const GAUGES: typeof COUNTERS = {
  assigned: ['samvad_component_partitions', 'Partitions assigned to this copy'],
  leading: ['samvad_component_leading', '1 when this copy of a service leads'],
};

/** A registry whose metrics are read on request. Without `pipeline`, it lacks those of the whole pipeline. */
export function processMetrics(figures: () => ProcessFigures, pipeline?: () => Promise<PipelineFigures>): Registry {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const valuesOf = (stat: string) =>
    Object.entries(figures().stats).flatMap(([component, stats]) =>
      stats[stat] === undefined ? [] : [[component, stats[stat]] as const],
    );
  for (const [stat, [name, help]] of Object.entries(COUNTERS)) {
    new Counter({
      ...{ name, help, registers, labelNames: ['component'] },
      collect() {
        this.reset();
        for (const [component, value] of valuesOf(stat)) this.inc({ component }, value);
      },
    });
  }
  for (const [stat, [name, help]] of Object.entries(GAUGES)) {
    new Gauge({
      ...{ name, help, registers, labelNames: ['component'] },
      collect() {
        for (const [component, value] of valuesOf(stat)) this.set({ component }, value);
      },
    });
  }
  new Gauge({
    name: 'samvad_part_ready',
    help: '1 when a server answers or a component can work, as /readyz says',
    ...{ registers, labelNames: ['part'] },
    collect() {
      for (const [part, state] of Object.entries(figures().states)) this.set({ part }, Number(state === 'ok'));
    },
  });
  if (pipeline) pipelineMetrics(registers, pipeline);
  return registry;
}

type Sample = readonly [labels: Readonly<Record<string, string | number>>, value: number | null | undefined];

/** Gauges of the whole pipeline: name, help text, labels, and values; null and undefined give no value. */
const PIPELINE: readonly (readonly [
  name: string,
  help: string,
  labelNames: readonly string[],
  samples: (figures: PipelineFigures) => readonly Sample[],
])[] = [
  [
    'samvad_lag_records',
    'Records between a component and the end of what it reads, over all copies',
    ['component', 'topic'],
    (now) => now.lag.map(({ component, topic, lag }) => [{ component, topic }, lag]),
  ],
  [
    'samvad_review_queue_conversations',
    'Conversations that wait for a person, by class, 1 first',
    ['class'],
    (now) => now.queue.map((one) => [{ class: one.class }, one.waiting]),
  ],
  [
    'samvad_review_queue_oldest_timestamp_seconds',
    'Time of the oldest conversation that waits for a person',
    ['class'],
    (now) => now.queue.map((one) => [{ class: one.class }, one.oldest]),
  ],
  [
    'samvad_training_runs',
    'Training runs',
    ['status'],
    ({ training }) => STATUSES.map((status) => [{ status }, training.byStatus[status] ?? 0]),
  ],
  [
    'samvad_training_last_run_outcome',
    '1 for the outcome of the run that ended last, 0 for the others',
    ['outcome'],
    ({ training: { last } }) =>
      last ? OUTCOMES.map((outcome) => [{ outcome }, Number(outcome === last.outcome)]) : [],
  ],
  [
    'samvad_training_last_run_duration_seconds',
    'Duration of the run that ended last',
    [],
    ({ training }) => [[{}, training.last?.duration]],
  ],
  [
    'samvad_training_last_run_finished_timestamp_seconds',
    'When the run that ended last ended',
    [],
    ({ training }) => [[{}, training.last?.finishedAt]],
  ],
  [
    'samvad_training_running_started_timestamp_seconds',
    'When the run that is under way began',
    [],
    ({ training }) => [[{}, training.running?.startedAt]],
  ],
  [
    'samvad_training_running_epoch',
    'Finished epochs of the run under way',
    [],
    ({ training }) => [[{}, training.running?.epoch]],
  ],
  [
    'samvad_training_running_epochs',
    'The most epochs of the run under way',
    [],
    ({ training }) => [[{}, training.running?.epochs]],
  ],
];

/**
 * How long a scrape waits for the pipeline's figures, in milliseconds. Prometheus gives up after 10 s and would then
 * lose every metric.
 */
const READ_MS = 4000;

/**
 * While Kafka or Postgres does not answer, these metrics are absent, because a gap in a chart is better than an
 * outdated figure.
 */
function pipelineMetrics(registers: Registry[], read: () => Promise<PipelineFigures>): void {
  const reading = shared(() => read().catch(() => undefined));
  // All gauges are collected at once.
  const readOnce = shared(() => Promise.race([reading(), sleep(READ_MS, undefined, { ref: false })]));
  for (const [name, help, labelNames, samples] of PIPELINE) {
    new Gauge({
      ...{ name, help, registers, labelNames },
      async collect() {
        const now = await readOnce();
        this.reset();
        this.remove({}); // resetting a gauge without labels would set it to 0
        for (const [labels, value] of now ? samples(now) : []) if (value != null) this.set(labels, value);
      },
    });
  }
}
