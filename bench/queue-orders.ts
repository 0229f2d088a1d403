/** The orders that `npm run bench:queue` compares. */
import { random, shuffled } from '../trainer/learning/random.ts';
import type { Order, Waiting } from './queue-play.ts';

const entropy = (p: number) => (p <= 0 || p >= 1 ? 0 : -(p * Math.log2(p) + (1 - p) * Math.log2(1 - p)));
const classOf = ({ confidence }: Waiting) => (confidence < 0.7 ? 1 : 2);

function sorted(items: readonly Waiting[], keys: (item: Waiting) => readonly number[]): readonly Waiting[] {
  return items
    .map((item) => ({ item, key: [...keys(item), item.place] }))
    .sort((a, b) => {
      const i = a.key.findIndex((value, k) => value !== b.key[k]);
      return i < 0 ? 0 : (a.key[i] ?? 0) - (b.key[i] ?? 0);
    })
    .map(({ item }) => item);
}

/** For each item, how many earlier items share one of its keys; the largest count over its keys. */
function before(items: readonly Waiting[], keys: (item: Waiting) => readonly string[]): Map<Waiting, number> {
  const seen = new Map<string, number>();
  return new Map(
    items.map((item) => {
      const counts = keys(item).map((key) => seen.get(key) ?? 0);
      for (const key of keys(item)) seen.set(key, (seen.get(key) ?? 0) + 1);
      return [item, Math.max(0, ...counts)];
    }),
  );
}

function counted(items: readonly Waiting[], key: (item: Waiting) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}

/** The place of each item within its predicted intent, from 1, in the order of `order`. */
function nth(order: readonly Waiting[]): Map<Waiting, number> {
  const seen = new Map<string, number>();
  return new Map(
    order.map((item) => {
      const place = (seen.get(item.intent) ?? 0) + 1;
      seen.set(item.intent, place);
      return [item, place];
    }),
  );
}

/** Sort keys for doubt; smaller means more doubtful. */
const doubts = {
  least: ({ confidence }: Waiting) => confidence,
  margin: ({ margin }: Waiting) => margin,
} as const;

/** Doubt as 1 − confidence + `share` × the runner-up's probability: with 0 it orders like `confidence`, with 1 like `margin`. */
const doubtWith =
  (share: number) =>
  ({ confidence, margin }: Waiting) =>
    1 - confidence + share * (confidence - margin);

const equal = ({ fingerprint }: Waiting) => [fingerprint];
const near = ({ sketch }: Waiting) => sketch;

/** By class, then near-duplicates (items that share one of `keys`) last, then by doubt plus a bonus for intents that are rare in the queue. */
function byScore(keys: (item: Waiting) => readonly string[], doubt: (item: Waiting) => number, bonus: number): Order {
  return (items) => {
    const duplicates = before(items, keys);
    const frequency = counted(items, ({ intent }) => intent);
    return sorted(items, (item) => [
      classOf(item),
      Number((duplicates.get(item) ?? 0) > 0),
      -(0.6 * doubt(item) + bonus / (frequency.get(item.intent) ?? 1)),
    ]);
  };
}

/**
 * Within a class: the most doubtful item of each predicted intent, then the second of each, and so on. With weight 1, an intent
 * with n samples starts n places later. `near` detects near-duplicates by n-grams, also of samples, instead of by equal fingerprints.
 */
function inTurn(doubt: (item: Waiting) => number, weight: number, near: boolean): Order {
  return (items, { byIntent, sketches }) => {
    const inner = sorted(items, (item) => [doubt(item)]);
    const duplicates = before(inner, ({ sketch, fingerprint }) => (near ? sketch : [fingerprint]));
    const repeated = (item: Waiting) =>
      Number((duplicates.get(item) ?? 0) > 0 || (near && item.sketch.some((band) => sketches.has(band))));
    const places = nth(sorted(items, (item) => [repeated(item), doubt(item)]));
    return sorted(items, (item) => [
      classOf(item),
      repeated(item),
      (places.get(item) ?? 0) + weight * (byIntent.get(item.intent) ?? 0),
      doubt(item),
    ]);
  };
}

export const orders: Readonly<Record<string, Order>> = {
  random: (items, _, seed) => shuffled(items, random(seed)),
  confidence: (items) => sorted(items, ({ confidence }) => [confidence]),
  margin: (items) => sorted(items, ({ margin }) => [margin]),
  'class-margin': byScore(equal, ({ margin }) => 1 - margin, 0),
  ...Object.fromEntries(
    [0.25, 0.5, 0.75].flatMap((share): [string, Order][] => [
      [`runner-up-${String(share)}`, (items) => sorted(items, (item) => [-doubtWith(share)(item)])],
      [`class-runner-up-${String(share)}`, byScore(equal, doubtWith(share), 0)],
    ]),
  ),
  'class-margin-near': byScore(near, ({ margin }) => 1 - margin, 0),
  'score-margin': byScore(equal, ({ margin }) => 1 - margin, 0.1),
  'score-least': byScore(equal, ({ confidence }) => 1 - confidence, 0.1),
  entropy: byScore(equal, ({ confidence }) => entropy(confidence), 0.1),
  ...Object.fromEntries(
    (['least', 'margin'] as const).flatMap((doubt) =>
      ([0, 1] as const).flatMap((weight) =>
        ([false, true] as const).map((near): [string, Order] => [
          `${doubt}-${weight}${near ? '-near' : ''}`,
          inTurn(doubts[doubt], weight, near),
        ]),
      ),
    ),
  ),
};
