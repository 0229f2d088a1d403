/**
 * The key figures of the user's document: target, current value, and what to do when a figure is off target. Pure
 * functions; `kpi/read-kpis.ts` reads the values.
 */
import { percent } from './percent.ts';

/** The target range, both ends included; null for an open end. Unit as in `Kpi`. */
export interface KpiTarget {
  readonly min: number | null;
  readonly max: number | null;
}

/** How a figure is written: a share is 0 to 1, points are a difference of shares. */
export type KpiUnit = 'share' | 'points' | 'count' | 'hours' | 'days';

/** The current state of a key figure. */
export interface Kpi {
  readonly name: string;
  readonly title: string;
  readonly group: 'Data quality' | 'Model performance' | 'Operations';
  readonly unit: KpiUnit;
  /** What is measured, over which time, as a phrase. */
  readonly measures: string;
  readonly target: KpiTarget;
  /** Null when it is not known yet. */
  readonly value: number | null;
  /** The same figure one week, version or run earlier; null when there was none. */
  readonly before: number | null;
  readonly trend: 'up' | 'down' | 'level' | null;
  readonly standing: 'on target' | 'off target' | 'unknown';
  /** What to do when it is off target or unknown. */
  readonly advice: string | null;
}

/** The current and the previous value of a figure. */
export interface Figure {
  readonly value: number | null;
  readonly before: number | null;
}

/** The inputs of all key figures. */
export interface KpiFigures {
  readonly autoApprovalRate: Figure;
  readonly queue: Figure;
  readonly averageConfidence: Figure;
  readonly fallbackRate: Figure;
  readonly testAccuracy: Figure;
  /** Production accuracy minus test accuracy of the version in production. */
  readonly productionGap: Figure;
  readonly reviewHours: Figure;
  /** Days between the last two trainings, or since the last one if that is more. */
  readonly trainingInterval: Figure;
  /** Test accuracy of a version minus that of the one before it. */
  readonly improvement: Figure;
  /** Samples available for training. Their number decides whether the targets of a mature system apply. */
  readonly approvedSamples: number;
}

/** Seconds assumed for an answer whose time was not measured: 280 in under two hours a week (the document's figure). */
export const SECONDS_PER_ANSWER = 20;

/**
 * The number of approved samples (month 6 of the document's timeline) from which the targets of a mature system apply.
 */
export const MATURE_SAMPLES = 15_000;

/** The targets; where the document gives two, the number of samples decides. */
export function targetsOf(approvedSamples: number) {
  const mature = approvedSamples >= MATURE_SAMPLES;
  return {
    autoApprovalRate: { min: 0.6, max: 0.7 },
    queue: { min: null, max: 499 },
    averageConfidence: { min: 0.8, max: null },
    testAccuracy: { min: mature ? 0.95 : 0.85, max: null },
    fallbackRate: { min: null, max: mature ? 0.05 : 0.15 },
    productionGap: { min: -0.03, max: 0.03 },
    trainingInterval: { min: 7, max: 14 },
    reviewHours: { min: null, max: 2 },
    improvement: { min: 0.03, max: null },
  } as const satisfies Record<string, KpiTarget>;
}

/** The key figures, in the document's order. */
export function kpisOf(figures: KpiFigures): readonly Kpi[] {
  const targets = targetsOf(figures.approvedSamples);
  return definitions.map(({ key, low, high, unknown, ...described }) => {
    const target = targets[key];
    const { value, before } = figures[key];
    const off = value === null ? null : sideOf(value, target);
    return {
      ...described,
      target,
      value,
      before,
      trend: trendOf(value, before, described.unit),
      standing: value === null ? 'unknown' : off === null ? 'on target' : 'off target',
      advice: value === null ? unknown : off === null ? null : off === 'low' ? low : high,
    };
  });
}

/** Tolerance for floating-point differences of shares: 0.88 − 0.85 is a little more than 0.03. */
const DUST = 1e-9;

function sideOf(value: number, { min, max }: KpiTarget): 'low' | 'high' | null {
  if (min !== null && value < min - DUST) return 'low';
  return max !== null && value > max + DUST ? 'high' : null;
}

/** A change smaller than what is displayed counts as no change. */
const SMALLEST_SHOWN: Readonly<Record<KpiUnit, number>> = {
  share: 0.001,
  points: 0.001,
  count: 1,
  hours: 0.1,
  days: 0.1,
};

function trendOf(value: number | null, before: number | null, unit: KpiUnit): Kpi['trend'] {
  if (value === null || before === null) return null;
  const change = value - before;
  if (Math.abs(change) < SMALLEST_SHOWN[unit] - DUST) return 'level';
  return change > 0 ? 'up' : 'down';
}

/** A figure as displayed, such as `63.2 %`, `+4.0 points` or `1.4 h`; `–` when it is not known. */
export function formatKpi(value: number | null, unit: KpiUnit): string {
  if (value === null) return '–';
  switch (unit) {
    case 'share':
      return percent(value);
    case 'points':
      return `${value > 0 ? '+' : ''}${(100 * value).toFixed(1)} points`;
    case 'count':
      return value.toLocaleString('en-IN');
    case 'hours':
      return `${value.toFixed(1)} h`;
    case 'days':
      return `${value.toFixed(1)} days`;
  }
}

/** A target as displayed, such as `60.0 % to 70.0 %`. */
export function formatTarget({ min, max }: KpiTarget, unit: KpiUnit): string {
  if (min !== null && max !== null) return `${formatKpi(min, unit)} to ${formatKpi(max, unit)}`;
  return min !== null ? `at least ${formatKpi(min, unit)}` : `at most ${formatKpi(max, unit)}`;
}

interface Definition extends Pick<Kpi, 'name' | 'title' | 'group' | 'unit' | 'measures'> {
  readonly key: keyof ReturnType<typeof targetsOf>;
  readonly low: string;
  readonly high: string;
  readonly unknown: string;
}

const NO_TRAFFIC = 'There were no conversations in these seven days: check whether the NLU service sends them.';

const definitions: readonly Definition[] = [
  {
    key: 'autoApprovalRate',
    name: 'auto-approval-rate',
    title: 'Auto-approval rate',
    group: 'Data quality',
    unit: 'share',
    measures: 'share of conversations routed as auto-approved, seven days',
    low: 'Too many conversations go to people: review the queue and train, or try a lower threshold with `samvad replay --policy FILE`.',
    high: 'Check in `samvad accuracy` whether the trusted answers are right. If not, raise the threshold; otherwise raise the target.',
    unknown: NO_TRAFFIC,
  },
  {
    key: 'queue',
    name: 'queue',
    title: 'Training queue',
    group: 'Data quality',
    unit: 'count',
    measures: 'conversations that wait for a person',
    low: '',
    high: 'Answer from the top of the inbox, near-duplicates together, or give reviewers more time. The rest can wait, but then accuracy is known less precisely.',
    unknown: NO_TRAFFIC,
  },
  {
    key: 'averageConfidence',
    name: 'average-confidence',
    title: 'Average confidence',
    group: 'Data quality',
    unit: 'share',
    measures: 'mean confidence of the answers that have one, seven days',
    low: 'Look at the intents and languages with the lowest confidence (`training_queue`), label some of each, and train.',
    high: '',
    unknown: NO_TRAFFIC,
  },
  {
    key: 'testAccuracy',
    name: 'test-accuracy',
    title: 'Test accuracy',
    group: 'Model performance',
    unit: 'share',
    measures: 'share of human-labelled test texts that the version in production gets right',
    low: "See the confusions in `samvad models report VERSION`, correct the queue's items of those intents, and train.",
    high: '',
    unknown: 'The version in production was never tested here: train one with `samvad train`.',
  },
  {
    key: 'fallbackRate',
    name: 'llm-fallback-rate',
    title: 'LLM fallback rate',
    group: 'Model performance',
    unit: 'share',
    measures: 'share of conversations that an LLM answered, seven days',
    low: '',
    high: 'The model does not know these texts: answer the priority reviews (reason `llm-fallback`) and train.',
    unknown: NO_TRAFFIC,
  },
  {
    key: 'productionGap',
    name: 'production-gap',
    title: 'Production minus test accuracy',
    group: 'Model performance',
    unit: 'points',
    measures:
      'production accuracy of the version in production, corrected for what people see, minus its test accuracy',
    low: 'The traffic differs from the test set: find out where with `samvad accuracy` by intent and language, label there, and train; roll back if the gap came with the version.',
    high: 'The test set is harder than the traffic, or too small: label more audited conversations.',
    unknown: 'Production accuracy is not known yet: answer some audited conversations; the daily job then measures it.',
  },
  {
    key: 'trainingInterval',
    name: 'training-interval',
    title: 'Training frequency',
    group: 'Operations',
    unit: 'days',
    measures: 'days between the last two trainings, or since the last',
    low: 'Training happens more often than weekly: raise SAMVAD_TRAINING_THRESHOLD, unless each version still improves.',
    high: 'Too few samples are approved: answer the queue, or run `samvad train`; check that the trainer runs.',
    unknown:
      'This needs two trainings, or one that is a week old. The first starts at SAMVAD_TRAINING_THRESHOLD approved samples, or with `samvad train`.',
  },
  {
    key: 'reviewHours',
    name: 'review-hours',
    title: 'Human review time',
    group: 'Operations',
    unit: 'hours',
    measures: 'hours spent on answers, seven days; 20 s for an answer without a time',
    low: '',
    high: 'Reduce the number of conversations that need a person: train on the answers, then lower the threshold, or audit a smaller share.',
    unknown: 'No answers in these seven days.',
  },
  {
    key: 'improvement',
    name: 'model-improvement',
    title: 'Improvement per version',
    group: 'Operations',
    unit: 'points',
    measures: 'test accuracy of the version in production minus that of the one before it',
    low: 'More of the same samples help little: label what the model gets wrong (rare intents, weak languages). At high accuracy, smaller gains are normal.',
    high: '',
    unknown: 'This needs two tested versions.',
  },
];
