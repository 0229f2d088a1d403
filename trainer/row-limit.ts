/** Limits how much of the data set a run trains on, so that its memory and time do not grow with the log. */
import { unitHash } from '../policy/hash.ts';
import { labelName } from './learning/classifier.ts';
import type { Sample } from './learning/split.ts';

/** The most rows that a run trains on, unless people have labelled more. */
export const MAX_ROWS = 100_000;

/**
 * Returns whether a run takes a row. Rows labelled by people are always taken. If a label has more rows than its part
 * of `limit`, a share of its automatic rows is taken, chosen by the hash of the text: the same in each attempt, and for
 * equal texts. Labels with fewer rows leave the rest of their part to the others. `rows` maps label names to row
 * counts.
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
