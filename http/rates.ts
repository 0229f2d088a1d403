/** Rates, from two readings of the topics' ends. */

/** The ends of topics and the positions of components. */
export interface Positions {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Name → sum of the ends of its partitions, including transaction markers. */
  readonly topics: Readonly<Record<string, number>>;
  readonly lags: readonly {
    readonly component: string;
    readonly topic: string;
    readonly end: number;
    readonly lag: number;
  }[];
}

/** Records per second into each topic between two readings. */
export function rates(before: Positions, now: Positions): Record<string, number> {
  const seconds = (now.at - before.at) / 1000;
  return Object.fromEntries(
    Object.entries(now.topics).map(([name, end]) => [
      name,
      seconds > 0 ? Math.max(0, (end - (before.topics[name] ?? end)) / seconds) : 0,
    ]),
  );
}
