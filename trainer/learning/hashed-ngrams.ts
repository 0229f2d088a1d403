/**
 * The encoder that needs no download: words, pairs of words and character n-grams of any script, hashed to a fixed
 * number of features (Weinberger et al. 2009, "Feature hashing for large scale multitask learning").
 */
import { mix } from '../../policy/hash.ts';
import type { Encoder, Rows, View } from './encoder.ts';

/** The configuration. N-gram lengths are in code points. */
export interface HashedNgramsConfig {
  readonly kind: 'hashed-ngrams';
  /** Features per view, as a power of two. */
  readonly bits: number;
  /** N-grams inside a word, including its boundaries. */
  readonly letters: readonly [from: number, to: number];
  /** N-grams of the running text, across words. */
  readonly runs: readonly [from: number, to: number];
}

/** The defaults, for every data set. */
export const hashedNgrams: HashedNgramsConfig = {
  kind: 'hashed-ngrams',
  bits: 18,
  letters: [2, 5],
  runs: [3, 6],
};

/**
 * The longest text that is read, in words and in UTF-16 code units. The rest of a longer text says little about its
 * intent.
 */
const MAX_WORDS = 400;
/**
 * The limit for scripts without spaces and for non-language input, where a word may never end and each unit may give
 * eight features.
 */
const MAX_UNITS = 8192;
/** A word of letters, marks and digits (in Indic scripts the vowel signs are marks), or a single symbol. */
const WORD = /[\p{L}\p{M}\p{N}\u200c\u200d]+|[^\s\p{L}\p{M}\p{N}]/gu;
const EDGE = 0x10_ffff;

type Builders = readonly [RowsBuilder, RowsBuilder, RowsBuilder, RowsBuilder];

/** Encodes texts as hashed words and character n-grams. */
export class HashedNgrams implements Encoder {
  readonly config: HashedNgramsConfig;
  readonly views: readonly View[];
  /** Kept between calls: clearing their counters would cost more than encoding a short text. */
  readonly #builders: Builders;

  constructor(config: HashedNgramsConfig) {
    this.config = config;
    const width = 2 ** config.bits;
    this.views = ['words', 'gaps', 'letters', 'runs'].map((name) => ({ name, width }));
    this.#builders = [new RowsBuilder(width), new RowsBuilder(width), new RowsBuilder(width), new RowsBuilder(width)];
  }

  encode(texts: readonly string[]): Promise<readonly Rows[]> {
    for (const text of texts) {
      this.#encodeOne(text, this.#builders);
      for (const builder of this.#builders) builder.endRow();
    }
    return Promise.resolve(this.#builders.map((builder) => builder.takeRows()));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #encodeOne(text: string, [words, gaps, letters, runs]: Builders): void {
    const units = tokens(text).map((word) => Array.from(word, (char) => char.codePointAt(0) ?? 0));
    if (units.length === 0) return;
    const hashes = [1, ...units.map((unit) => sequenceHash(unit, 0, unit.length)), 2];
    for (let i = 0; i < hashes.length; i++) {
      const [a, b, c, d] = [hashes[i] ?? 0, hashes[i + 1], hashes[i + 2], hashes[i + 3]];
      if (i > 0 && b !== undefined) words.add(a);
      if (b !== undefined) words.add(pairHash(a, b, 1));
      if (c !== undefined) gaps.add(pairHash(a, c, 2));
      if (d !== undefined) gaps.add(pairHash(a, d, 3));
    }
    for (const unit of units) ngrams([EDGE, ...unit, EDGE], this.config.letters, letters, true);
    ngrams([EDGE, ...units.flatMap((unit) => [...unit, EDGE])], this.config.runs, runs, false);
  }
}

/** The words of a text in compatibility form and lower case; symbols are separate. */
export function tokens(text: string): readonly string[] {
  return (text.normalize('NFKC').toLowerCase().slice(0, MAX_UNITS).match(WORD) ?? []).slice(0, MAX_WORDS);
}

/** All n-grams of `units`; with `whole`, a sequence shorter than n counts once. */
function ngrams(
  units: readonly number[],
  [from, to]: readonly [number, number],
  out: RowsBuilder,
  whole: boolean,
): void {
  for (let n = from; n <= to; n++) {
    if (whole && n >= units.length) return out.add(sequenceHash(units, 0, units.length));
    for (let i = 0; i + n <= units.length; i++) out.add(sequenceHash(units, i, i + n));
  }
}

/** FNV-1a over numbers instead of bytes. */
function sequenceHash(units: readonly number[], from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ (units[i] ?? 0), 0x01000193) ^ (hash >>> 15);
  return mix(hash);
}

function pairHash(a: number, b: number, kind: number): number {
  return mix(Math.imul(a ^ Math.imul(kind, 0x9e3779b9), 0x85ebca6b) ^ Math.imul(b, 0xc2b2ae35) ^ (b >>> 13));
}

/** Collects features row by row. A value is 1 + ln(count), because repetitions add less and less information. */
class RowsBuilder {
  readonly #mask: number;
  readonly #counts: Int32Array;
  #starts: number[] = [0];
  #indices = new Int32Array(1024);
  #values = new Float32Array(1024);
  #length = 0;

  constructor(width: number) {
    this.#mask = width - 1;
    this.#counts = new Int32Array(width);
  }

  add(hash: number): void {
    const index = hash & this.#mask;
    if (this.#counts[index] === 0) {
      if (this.#length === this.#indices.length) this.#grow();
      this.#indices[this.#length++] = index;
    }
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  endRow(): void {
    for (let i = this.#starts.at(-1) ?? 0; i < this.#length; i++) {
      const index = this.#indices[i] ?? 0;
      this.#values[i] = 1 + Math.log(this.#counts[index] ?? 1);
      this.#counts[index] = 0;
    }
    this.#starts.push(this.#length);
  }

  /** The rows so far; empties the builder. */
  takeRows(): Rows {
    const rows = {
      starts: Int32Array.from(this.#starts),
      indices: this.#indices.slice(0, this.#length),
      values: this.#values.slice(0, this.#length),
    };
    this.#starts = [0];
    this.#length = 0;
    return rows;
  }

  #grow(): void {
    const [indices, values] = [new Int32Array(2 * this.#length), new Float32Array(2 * this.#length)];
    indices.set(this.#indices);
    values.set(this.#values);
    this.#indices = indices;
    this.#values = values;
  }
}
