/**
 * When to train, and on what. Pure functions of the log: the runs do not depend on the caller, on the order of the
 * records, or on repeated deliveries.
 *
 * "New" approvals are those that no run was requested for yet. Relabelling a sample counts as a new approval, even if
 * it confirms the label, because no model has trained on that answer yet. A withdrawal does not lower the number, so
 * each threshold is crossed once.
 */
import type { ApprovedSampleCount } from '../schemas/types.ts';

/** The end offset (exclusive) of a data set in each partition. */
export type Watermark = ReadonlyMap<number, number>;

/** A run that is due. */
export interface DueRun {
  /** The same for every caller that sees the same crossing. */
  readonly id: string;
  /** Approvals in its data set, including those withdrawn since. */
  readonly approvals: number;
}

/** The number of approvals ever counted, over all partitions of `dataSet`. */
export function totalApprovals(counts: Iterable<ApprovedSampleCount>, dataSet: string): number {
  let total = 0;
  for (const { data_set, approvals } of counts) if (data_set === dataSet) total += approvals;
  return total;
}

/**
 * The runs that are due, oldest first: one for each whole `threshold` (1 or more) above `asked`, the approvals that the last run
 * was requested for. 1,999 approvals give one run at a threshold of 1,000, and 2,000 give two, whether they are seen
 * one by one or at once.
 */
export function dueRuns(dataSet: string, approvals: number, asked: number, threshold: number): readonly DueRun[] {
  return Array.from({ length: Math.max(0, Math.floor((approvals - asked) / threshold)) }, (_, i) =>
    runAt(dataSet, asked + (i + 1) * threshold),
  );
}

/** The run whose data set ends at `approvals`. */
export function runAt(dataSet: string, approvals: number): DueRun {
  return { id: `${dataSet}-${approvals}`, approvals };
}

/** What the trigger needs to know about a record of training-samples. */
export interface SampleMark {
  readonly partition: number;
  readonly offset: number;
  /** Event time, milliseconds since 1970. */
  readonly timestamp: number;
  readonly approves: boolean;
}

/** A partition and its next mark. */
interface Head {
  readonly marks: AsyncIterator<SampleMark>;
  mark: SampleMark | undefined;
}

/**
 * The watermarks at each `every`th approval, in order. `partitions` yield their marks from `from` on, in offset order.
 * The marks are merged by event time, then by partition number, so a watermark is a prefix of each partition and is the
 * same whether it is requested in this pass or a later one. It includes withdrawals up to that point. If fewer
 * approvals are left (compaction removed those that were erased), the last watermark covers everything, however often
 * it is requested.
 * Holds one mark per partition in memory, and closes the iterators when it is closed.
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
