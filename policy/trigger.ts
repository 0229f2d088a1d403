/**
 * When to train, and on what. Functions of the log: whoever asks, in whatever order the records came and however often
 * they were delivered, gets the same runs.
 *
 * "New" are approvals that no run was asked for yet. A sample that is labelled anew is approved anew, because no model has learned from
 * that answer, which may confirm the label that stood; a withdrawal takes nothing back, so the number never falls and a crossing happens once.
 */
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

/** A partition, and the next of its marks. */
interface Head {
  readonly marks: AsyncIterator<SampleMark>;
  mark: SampleMark | undefined;
}

/**
 * The watermarks behind each `every`th approval, one after the other. `partitions` have their marks from `from` on, in offset order.
 * Of the next marks of all the earliest by event time is taken, then by number: a prefix of each partition, and the same watermark
 * whether it is asked for in this pass or in a later one. Withdrawals up to there are taken too. All that is left, however
 * often one asks, where there are not so many: of what was erased since, compaction has taken the approvals out of the log.
 * Holds one mark of each partition, and ends them when it is ended.
 */
export async function* watermarks(
  partitions: readonly AsyncIterable<SampleMark>[],
  from: Watermark,
  every: number,
): AsyncGenerator<Watermark, never> {
  const heads = partitions.map((marks): Head => ({ marks: marks[Symbol.asyncIterator](), mark: undefined }));
  const watermark = new Map(from);
  try {
    await Promise.all(heads.map(advance));
    for (;;) {
      for (let missing = every; missing > 0;) {
        const head = earliest(heads);
        if (!head?.mark) break;
        const { partition, offset, approves } = head.mark;
        watermark.set(partition, offset + 1);
        if (approves) missing--;
        await advance(head);
      }
      yield new Map(watermark);
    }
  } finally {
    await Promise.all(heads.map(async ({ marks }) => marks.return?.()));
  }
}

async function advance(head: Head): Promise<void> {
  const next = await head.marks.next();
  head.mark = next.done === true ? undefined : next.value;
}

function earliest(heads: readonly Head[]): Head | undefined {
  let first: Head | undefined;
  for (const head of heads) if (head.mark && (!first?.mark || isBefore(head.mark, first.mark))) first = head;
  return first;
}

function isBefore(a: SampleMark, b: SampleMark): boolean {
  return a.timestamp < b.timestamp || (a.timestamp === b.timestamp && a.partition < b.partition);
}
