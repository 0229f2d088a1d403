/** How much of the data set a run learns from, so that neither its memory nor its time grows with the log. */
import { unitHash } from '../policy/hash.ts';
import { labelName } from './learning/classifier.ts';
import type { Sample } from './learning/split.ts';

/** Rows that a run learns from; some more where people have labelled that many. */
export const MAX_ROWS = 100_000;

/**
 * Whether a run takes a row. What people said is always taken. Of a label with more rows than its part of `limit`, a share of
 * the automatic ones is, chosen by the hash of the text: the same in each attempt, and for equal texts. Labels with fewer rows leave
 * the rest of their part to the others.
 * `rows` counts the rows of each label, by its name.
 */
export function rowLimit(rows: Readonly<Record<string, number>>, limit = MAX_ROWS): (row: Sample) => boolean {
  const part = partOf(Object.values(rows), limit);
  return (row) =>
    row.source === 'human' || unitHash(`row-limit/${row.text}`) < part / Math.max(1, rows[labelName(row)] ?? 0);
}

/** The largest part for which the sum of min(count, part) is within the limit. */
function partOf(counts: readonly number[], limit: number): number {
  let left = limit;
  const ascending = [...counts].sort((a, b) => a - b);
  for (const [i, count] of ascending.entries()) {
    const part = left / (ascending.length - i);
    if (count > part) return part;
    left -= count;
  }
  return Infinity;
}
