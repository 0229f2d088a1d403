/** Speeds, from two looks at the ends of topics. */

/** Where topics end and how far components are. */
export interface Positions {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Name → sum of the ends of its partitions; markers of transactions count. */
  readonly topics: Readonly<Record<string, number>>;
  readonly lags: readonly {
    readonly component: string;
    readonly topic: string;
    readonly end: number;
    readonly lag: number;
  }[];
}

/** Records a second into each topic between two looks. */
export function rates(before: Positions, now: Positions): Record<string, number> {
  const seconds = (now.at - before.at) / 1000;
  return Object.fromEntries(
    Object.entries(now.topics).map(([name, end]) => [
      name,
      seconds > 0 ? Math.max(0, (end - (before.topics[name] ?? end)) / seconds) : 0,
    ]),
  );
}
