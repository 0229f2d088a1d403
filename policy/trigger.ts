/**
 * When to train, and on what. Functions of the log: whoever asks, in whatever order the records came and however often
 * they were delivered, gets the same runs.
 *
 * "New" are approvals that no run was asked for yet. A sample that is labelled anew is approved anew, because no model has learned from
 * that answer, which may confirm the label that stood; a withdrawal takes nothing back, so the number never falls and a crossing happens once.
 */
/* eslint-disable @typescript-eslint/no-non-null-assertion -- indices are in range by construction */
import type { ApprovedSampleCount } from '../schemas/types.ts';

/** Offsets up to which (exclusively) each partition belongs to a data set, by partition. */
export type Watermark = ReadonlyMap<number, number>;

/** A run that is due. */
export interface DueRun {
  /** The same for everyone who sees the same crossing. */
  readonly id: string;
  /** Approvals that its data set holds, those withdrawn since included. */
  readonly approvals: number;
}

/** Approvals ever counted, over all partitions of `dataSet`. */
export function totalApprovals(counts: Iterable<ApprovedSampleCount>, dataSet: string): number {
  let total = 0;
  for (const { data_set, approvals } of counts) if (data_set === dataSet) total += approvals;
  return total;
}

/**
 * The runs that `approvals` call for, oldest first, one for each whole `threshold` since `asked`, the approvals that the
 * last run was asked for. 1,999 approvals call for one run at 1,000, and 2,000 for two, seen one by one or all at once.
 */
export function dueRuns(dataSet: string, approvals: number, asked: number, threshold: number): readonly DueRun[] {
  if (!Number.isInteger(threshold) || threshold < 1)
    throw new Error(`The training threshold is ${threshold}; it must be a whole number from 1.`);
  return Array.from({ length: Math.max(0, Math.floor((approvals - asked) / threshold)) }, (_, i) =>
    runAt(dataSet, asked + (i + 1) * threshold),
  );
}

/** The run whose data set ends at `approvals`. */
export function runAt(dataSet: string, approvals: number): DueRun {
  return { id: `${dataSet}-${approvals}`, approvals };
}

/** What the trigger must know of a record of training-samples. */
export interface SampleMark {
  readonly partition: number;
  readonly offset: number;
  /** Event time, milliseconds since 1970. */
  readonly timestamp: number;
  readonly approves: boolean;
}

/**
 * The watermark behind the `approvals`th approval of `marks`, which start at `from` and are in offset order within each
 * partition. Partitions are merged by event time, then by number; a partition's time never runs backwards, so that what
 * is taken is a prefix of each. Withdrawals up to there are taken too. All of them where there are not so many: of what was erased
 * since, compaction has taken the approvals out of the log.
 */
export function watermarkAt(marks: readonly SampleMark[], from: Watermark, approvals: number): Watermark {
  const latest = new Map<number, number>();
  const times = Float64Array.from(marks, ({ partition, timestamp }) => {
    const time = Math.max(latest.get(partition) ?? -Infinity, timestamp);
    latest.set(partition, time);
    return time;
  });
  // Places are sorted, not copies of the marks: there may be hundreds of thousands.
  const order = Uint32Array.from(marks.keys()).sort((i, j) => {
    const [a, b] = [marks[i]!, marks[j]!];
    return times[i]! - times[j]! || a.partition - b.partition || a.offset - b.offset;
  });
  const watermark = new Map(from);
  let missing = approvals;
  for (const place of order) {
    if (missing === 0) break;
    const { partition, offset, approves } = marks[place]!;
    if (offset < (from.get(partition) ?? 0)) continue;
    watermark.set(partition, offset + 1);
    if (approves) missing--;
  }
  return watermark;
}
