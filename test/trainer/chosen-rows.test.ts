import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addRows, moveRows, multiplyRows } from '../../trainer/learning/chosen-rows.ts';

/** Nine rows of three; small whole numbers, so that sums in any order are the same. */
const LENGTH = 3;
const matrix = () => Float32Array.from({ length: 9 * LENGTH }, (_, i) => ((i * 7) % 11) - 5);
const rows = [4, 0, 8, 2, 7, 1, 5];
const chosen = {
  starts: Int32Array.from(rows, (row) => row * LENGTH),
  factors: Float32Array.from(rows, (_, k) => k - 3),
};
const row = (of: Float32Array, r: number) => [...of.subarray(r * LENGTH, (r + 1) * LENGTH)];
/** Fewer than four rows, four, and more than four; from the start and from later. */
const ranges = [0, 2].flatMap((from) => [0, 1, 3, 4, 5].map((count) => [from, from + count] as const));

describe('chosen rows', () => {
  it('are added, each times its factor', () => {
    for (const [from, to] of ranges) {
      const vector = Float32Array.of(1, 2, 3);
      addRows(vector, matrix(), chosen, from, to);
      const expected = [1, 2, 3];
      for (let k = from; k < to; k++)
        row(matrix(), rows[k] ?? 0).forEach(
          (x, i) => (expected[i] = (expected[i] ?? 0) + (chosen.factors[k] ?? 0) * x),
        );
      assert.deepEqual([...vector], expected, `${from} to ${to}`);
    }
  });

  it('are multiplied by the vector', () => {
    const vector = Float32Array.of(2, -1, 3);
    for (const [from, to] of ranges) {
      const products = new Float32Array(rows.length).fill(99);
      multiplyRows(products, matrix(), chosen, from, to, vector);
      const expected = rows.map((r, k) =>
        k < from || k >= to ? 99 : row(matrix(), r).reduce((sum, x, i) => sum + x * (vector[i] ?? 0), 0),
      );
      assert.deepEqual([...products], expected, `${from} to ${to}`);
    }
  });

  it('are updated, and no others', () => {
    const vector = Float32Array.of(2, -1, 3);
    for (const [from, to] of ranges) {
      const moved = matrix();
      moveRows(moved, chosen, from, to, vector);
      const expected = Array.from({ length: 9 }, (_, r) => {
        const k = rows.indexOf(r);
        const factor = k >= from && k < to ? (chosen.factors[k] ?? 0) : 0;
        return row(matrix(), r).map((x, i) => x - factor * (vector[i] ?? 0));
      });
      assert.deepEqual(
        Array.from({ length: 9 }, (_, r) => row(moved, r)),
        expected,
        `${from} to ${to}`,
      );
    }
  });
});
