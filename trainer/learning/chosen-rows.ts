/**
 * Operations on selected rows of a matrix and one vector: the inner loops of training. Four rows are processed
 * together, so that each element of the vector is read once for all four, which halves the time.
 */
/* eslint-disable @typescript-eslint/no-non-null-assertion -- indices are in range by construction; checks would cost time */

/** The start of each selected row in its matrix and a number per row, at positions `from` up to `to`. */
export interface ChosenRows {
  readonly starts: Int32Array;
  readonly factors: Float32Array;
}

/** vector += Σ factor · row */
export function addRows(
  vector: Float32Array,
  matrix: Float32Array,
  { starts, factors }: ChosenRows,
  from: number,
  to: number,
): void {
  const length = vector.length;
  let k = from;
  for (; k + 4 <= to; k += 4) {
    const [a, b, c, d] = [starts[k]!, starts[k + 1]!, starts[k + 2]!, starts[k + 3]!];
    const [p, q, r, s] = [factors[k]!, factors[k + 1]!, factors[k + 2]!, factors[k + 3]!];
    for (let i = 0; i < length; i++)
      vector[i]! += p * matrix[a + i]! + q * matrix[b + i]! + r * matrix[c + i]! + s * matrix[d + i]!;
  }
  for (; k < to; k++) {
    const [a, p] = [starts[k]!, factors[k]!];
    for (let i = 0; i < length; i++) vector[i]! += p * matrix[a + i]!;
  }
}

/** products[k] = row k · vector */
export function multiplyRows(
  products: Float32Array,
  matrix: Float32Array,
  { starts }: Pick<ChosenRows, 'starts'>,
  from: number,
  to: number,
  vector: Float32Array,
): void {
  const length = vector.length;
  let k = from;
  for (; k + 4 <= to; k += 4) {
    const [a, b, c, d] = [starts[k]!, starts[k + 1]!, starts[k + 2]!, starts[k + 3]!];
    let [p, q, r, s] = [0, 0, 0, 0];
    for (let i = 0; i < length; i++) {
      const x = vector[i]!;
      p += matrix[a + i]! * x;
      q += matrix[b + i]! * x;
      r += matrix[c + i]! * x;
      s += matrix[d + i]! * x;
    }
    products[k] = p;
    products[k + 1] = q;
    products[k + 2] = r;
    products[k + 3] = s;
  }
  for (; k < to; k++) {
    const a = starts[k]!;
    let p = 0;
    for (let i = 0; i < length; i++) p += matrix[a + i]! * vector[i]!;
    products[k] = p;
  }
}

/** Each row −= its factor · vector. Rows must be distinct. */
export function moveRows(
  matrix: Float32Array,
  { starts, factors }: ChosenRows,
  from: number,
  to: number,
  vector: Float32Array,
): void {
  const length = vector.length;
  let k = from;
  for (; k + 4 <= to; k += 4) {
    const [a, b, c, d] = [starts[k]!, starts[k + 1]!, starts[k + 2]!, starts[k + 3]!];
    const [p, q, r, s] = [factors[k]!, factors[k + 1]!, factors[k + 2]!, factors[k + 3]!];
    for (let i = 0; i < length; i++) {
      const x = vector[i]!;
      matrix[a + i]! -= p * x;
      matrix[b + i]! -= q * x;
      matrix[c + i]! -= r * x;
      matrix[d + i]! -= s * x;
    }
  }
  for (; k < to; k++) {
    const [a, p] = [starts[k]!, factors[k]!];
    for (let i = 0; i < length; i++) matrix[a + i]! -= p * vector[i]!;
  }
}
