/** Compares two models on the same rows: whether the difference is more than chance, and which rows changed. */
import { labelName, OUT_OF_SCOPE } from './classifier.ts';
import { isRight } from './evaluate.ts';
import type { Judged } from './evaluate.ts';
import { percentile } from './metrics.ts';
import { random } from './random.ts';

/** A row that only one of the two models has right. */
export interface Flip {
  readonly text: string;
  readonly language: string;
  readonly truth: string;
  readonly production: string;
  readonly candidate: string;
}

/** The changed rows of one intent. */
export interface IntentFlips {
  readonly better: number;
  readonly worse: number;
}

/** A paired comparison on the rows in scope, candidate minus production. */
export interface Comparison {
  readonly rows: number;
  readonly candidateAccuracy: number;
  readonly productionAccuracy: number;
  readonly difference: number;
  /** The interval of 95 % of the bootstrap resamples. */
  readonly interval: readonly [low: number, high: number];
  /**
   * Rows that only one model has right, and the probability of a split at least this uneven if both were equally good.
   */
  readonly mcnemar: { readonly onlyCandidate: number; readonly onlyProduction: number; readonly pValue: number };
  readonly flipsByIntent: Readonly<Record<string, IntentFlips>>;
  /** At most 50 rows of each kind, because the report stores their texts. `mcnemar` has the full numbers. */
  readonly worse: readonly Flip[];
  readonly better: readonly Flip[];
}

const FLIPS_KEPT = 50;

/**
 * Compares the answers of two models to the same rows in the same order.
 * @throws when the rows differ.
 */
export function compare(candidate: readonly Judged[], production: readonly Judged[]): Comparison {
  const pairs = pairUp(candidate, production);
  const gains = Int8Array.from(pairs, ([c, p]) => Number(isRight(c)) - Number(isRight(p)));
  const changed = (gain: number) => pairs.filter((_, i) => gains[i] === gain).map(flipOf);
  const [better, worse] = [changed(1), changed(-1)];
  const rows = Math.max(1, pairs.length);
  const right = (side: 0 | 1) => pairs.filter((pair) => isRight(pair[side])).length / rows;
  return {
    rows: pairs.length,
    candidateAccuracy: right(0),
    productionAccuracy: right(1),
    difference: (better.length - worse.length) / rows,
    interval: bootstrap(gains),
    mcnemar: {
      onlyCandidate: better.length,
      onlyProduction: worse.length,
      pValue: mcnemarP(better.length, worse.length),
    },
    flipsByIntent: flipsByIntent(better, worse),
    worse: worse.slice(0, FLIPS_KEPT),
    better: better.slice(0, FLIPS_KEPT),
  };
}

/** Exact two-sided McNemar test (1947): the binomial probability of a split at least as uneven as `a` to `b`. */
export function mcnemarP(a: number, b: number): number {
  const n = a + b;
  let logTerm = -n * Math.LN2;
  let sum = 0;
  for (let i = 0; i <= Math.min(a, b); i++) {
    sum += Math.exp(logTerm);
    logTerm += Math.log(n - i) - Math.log(i + 1);
  }
  return Math.min(1, 2 * sum);
}

/** Percentile interval of the mean over 2,000 bootstrap resamples (Efron 1979). */
function bootstrap(gains: Int8Array): readonly [number, number] {
  if (gains.length === 0) return [0, 0];
  const next = random(1);
  const means = Array.from({ length: 2000 }, () => {
    let sum = 0;
    for (let i = 0; i < gains.length; i++) sum += gains[Math.floor(next() * gains.length)] ?? 0;
    return sum / gains.length;
  });
  return [percentile(means, 0.025), percentile(means, 0.975)];
}

function pairUp(candidate: readonly Judged[], production: readonly Judged[]): readonly (readonly [Judged, Judged])[] {
  if (candidate.length !== production.length)
    throw new Error(
      `The models were asked ${candidate.length} and ${production.length} rows; compare them on the same.`,
    );
  return candidate.flatMap((c, i) => {
    const p = production[i];
    if (!p || p.row.text !== c.row.text || labelName(p.row) !== labelName(c.row))
      throw new Error(`Row ${i} is not the same for both models: ${JSON.stringify(c.row.text)}.`);
    return c.row.intent === OUT_OF_SCOPE ? [] : [[c, p] as const];
  });
}

function flipOf([c, p]: readonly [Judged, Judged]): Flip {
  return {
    text: c.row.text,
    language: c.row.language,
    truth: labelName(c.row),
    production: labelName(p.answer),
    candidate: labelName(c.answer),
  };
}

function flipsByIntent(better: readonly Flip[], worse: readonly Flip[]): Readonly<Record<string, IntentFlips>> {
  const names = [...new Set([...better, ...worse].map(({ truth }) => truth))].sort();
  const count = (flips: readonly Flip[], name: string) => flips.filter(({ truth }) => truth === name).length;
  return Object.fromEntries(names.map((name) => [name, { better: count(better, name), worse: count(worse, name) }]));
}
