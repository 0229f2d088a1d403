/** Reproducible random numbers: the same seed gives the same numbers on every machine. */

/** Numbers in [0, 1). Mulberry32 (Tommy Ettinger), 32 bits of state. */
export function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Shuffles `items` in place (Fisher and Yates). */
export function shuffle(items: Int32Array, next: () => number): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    const held = items[i] ?? 0;
    items[i] = items[j] ?? 0;
    items[j] = held;
  }
}

/** The items in random order. */
export function shuffled<T>(items: readonly T[], next: () => number): readonly T[] {
  const order = Int32Array.from(items.keys());
  shuffle(order, next);
  return [...order].map((i) => items[i] as T);
}
