/** How close the next training run is, and what starts it. Pure functions. */
import { formatKpi } from '../policy/kpis.ts';
import type { ModelLog } from '../policy/model-log.ts';
import { lastAsked, lastGivenUp, unusedOf } from '../policy/training-run.ts';
import { aboutEnded } from '../trainer/ask-for-run.ts';
import { DATA_SET } from '../topology.ts';

/** How close the next training run is. */
export interface TrainingProgress {
  /** Approved samples that are in no run, whether done or requested. */
  readonly unused: number;
  readonly threshold: number;
  /** Whether `threshold` samples were approved since the last run was requested, even if that failed: then the trainer requests the next. */
  readonly reached: boolean;
  /** The last failed or cancelled run whose samples are among the unused. */
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

/** The progress as sentences, with commands between backticks. */
export function progressInWords(progress: TrainingProgress): string {
  const { unused, threshold, reached } = progress;
  const count = `${formatKpi(unused, 'count')} of ${formatKpi(threshold, 'count')} new approved samples.`;
  if (reached) return `${count} A running trainer starts a run; without one, \`samvad train\` does.`;
  return `${count}${aboutEnded({ run: undefined, ...progress })}`;
}
