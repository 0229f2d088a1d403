/**
 * Finds messages that say nearly the same without comparing all pairs. The sketch of a text is a few strings; two texts
 * count as near-duplicates when their sketches share one. A sketch depends on the text alone, so every replay gives the
 * same one.
 *
 * Min-hashing (Broder 1997): two texts have the same smallest hash over their n-grams with probability J, the Jaccard
 * similarity of their sets of n-grams. Each of the `BANDS` strings joins `ROWS` such hashes, so one is shared with
 * probability 1 − (1 − J^ROWS)^BANDS: 0.98 at J = 0.8, 0.58 at 0.5, 0.15 at 0.2 (banding as in Leskovec, Rajaraman and
 * Ullman, Mining of Massive Datasets, 3.4).
 */
import { textHash, unitHash } from './hash.ts';

/** Letters per n-gram. Words are padded with a space on both sides, so that short words have n-grams too. */
const LETTERS = 4;
const BANDS = 4;
const ROWS = 2;

/** The sketch of a text that `normalise` in review-priority.ts has normalised. */
export function sketch(normalised: string): readonly string[] {
  const hashes = Uint32Array.from(ngrams(normalised), (gram) => unitHash(gram) * 2 ** 32);
  return Array.from({ length: BANDS }, (_, band) => {
    const rows = MIXERS.slice(band * ROWS, (band + 1) * ROWS);
    const smallest = rows.map(([factor, offset]) =>
      hashes.reduce((least, hash) => Math.min(least, scramble(hash, factor, offset)), 2 ** 32),
    );
    return `${band}${textHash(smallest.join(' ')).slice(0, 10)}`;
  });
}

/**
 * The distinct letter n-grams of a text; an empty text has one too. Split by code points, so that no character is cut
 * in two.
 */
function ngrams(text: string): ReadonlySet<string> {
  const grams = new Set<string>();
  const letters = Array.from(` ${text} `);
  for (let i = 0; i + LETTERS <= letters.length || i === 0; i++) grams.add(letters.slice(i, i + LETTERS).join(''));
  return grams;
}

/** Odd factors and offsets, one pair per hash function: digits of π and e in hexadecimal. */
const MIXERS: readonly (readonly [factor: number, offset: number])[] = [
  [0x243f6a89, 0xb7e15163],
  [0x85a308d3, 0x8aed2a6b],
  [0x13198a2f, 0x45f306dd],
  [0x03707345, 0xfe13abfb],
  [0xa4093823, 0x71c8a53d],
  [0x299f31d1, 0x2b5a7f63],
  [0x082efa99, 0x9c7c15e1],
  [0xec4e6c89, 0x38b4da57],
];

function scramble(hash: number, factor: number, offset: number): number {
  const h = Math.imul(hash ^ offset, factor);
  const mixed = Math.imul(h ^ (h >>> 15), factor);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
