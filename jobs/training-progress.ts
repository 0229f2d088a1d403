/** How near the next training is, and what is to be done for it. Functions of values. */
import { formatKpi } from '../policy/kpis.ts';
import type { ModelLog } from '../policy/model-log.ts';
import { lastAsked, lastGivenUp, unusedOf } from '../policy/training-run.ts';
import { aboutEnded } from '../trainer/ask-for-run.ts';
import { DATA_SET } from '../topology.ts';

/** How near it is. */
export interface TrainingProgress {
  /** Approved samples that no run has learned from, or is to. */
  readonly unused: number;
  readonly threshold: number;
  /** Whether so many have come since the last run was asked for, whatever became of it: then the trainer asks for the next. */
  readonly reached: boolean;
  /** The last run that failed or was cancelled, where its samples are among the unused. Reports from before 27 November 2026 have none. */
  readonly ended?: string;
}

/** The progress with `total` approvals. */
export function progressOf(log: ModelLog, total: number, threshold: number): TrainingProgress {
  const ended = lastGivenUp(log, DATA_SET);
  return {
    unused: unusedOf(log, DATA_SET, total),
    threshold,
    reached: total - lastAsked(log, DATA_SET).approvals >= threshold,
    ...(ended !== undefined && { ended }),
  };
}

/** As sentences, commands between backticks. */
export function progressInWords(progress: TrainingProgress): string {
  const { unused, threshold, reached } = progress;
  const count = `${formatKpi(unused, 'count')} of ${formatKpi(threshold, 'count')} new approved samples.`;
  if (reached) return `${count} A running trainer asks for a run; \`samvad train\` does without one.`;
  return `${count}${aboutEnded({ run: undefined, ...progress })}`;
}
