/** The middle one of some numbers, the upper of the two middle ones where their count is even; NaN where there are none. */
export function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}
