import { random } from '../trainer/learning/random.ts';

/** A source of repeatable draws: the same seed gives the same sequence on every machine. */
export interface Draw {
  /** A number in [0, 1). */
  readonly unit: () => number;
  /** A whole number from `low` to `high`, both possible. */
  readonly whole: (low: number, high: number) => number;
  readonly chance: (probability: number) => boolean;
  /** One element. Throws for an empty list. */
  readonly pick: <T>(list: readonly T[]) => T;
  /** One element, in proportion to its weight. */
  readonly weighted: <T>(list: readonly (readonly [T, number])[]) => T;
}

/** The draws of a seed. */
export const createDraw = (seed: number): Draw => {
  const unit = random(seed);
  const whole = (low: number, high: number): number => low + Math.floor(unit() * (high - low + 1));
  const pick = <T>(list: readonly T[]): T => {
    if (list.length === 0)
      throw new Error('Cannot pick from an empty list; give every list in examples/traffic at least one element.');
    return list[whole(0, list.length - 1)] as T;
  };
  const weighted = <T>(list: readonly (readonly [T, number])[]): T => {
    let left = unit() * list.reduce((sum, [, weight]) => sum + weight, 0);
    const hit = list.find(([, weight]) => (left -= weight) < 0) ?? list.at(-1);
    return pick(hit ? [hit[0]] : []);
  };
  return { unit, whole, chance: (probability) => unit() < probability, pick, weighted };
};
