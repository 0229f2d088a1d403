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

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state are plenty for a few thousand lines. */
export const createDraw = (seed: number): Draw => {
  let state = seed >>> 0;
  const unit = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
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
