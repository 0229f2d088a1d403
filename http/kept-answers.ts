/** Caches answers that are expensive to compute. */

/** An answer and its age. */
export interface KeptAnswer<T> {
  readonly value: T;
  /** Seconds since its computation began. */
  readonly age: number;
}

/**
 * An answer is kept for this many times its computation time, so that recomputing takes at most a twentieth of one
 * connection's time.
 */
const TIMES = 19;
/** The most cached answers. */
const MOST = 100;

/** Calls `make` when there is no recent answer to the question. Concurrent callers share one computation. */
export function keptAnswers<T>(
  make: (question: string) => Promise<T>,
  now: () => number = () => performance.now(),
): (question: string) => Promise<KeptAnswer<T>> {
  const kept = new Map<string, { readonly from: number; until: number; readonly value: Promise<T> }>();
  function begin(question: string) {
    const one = { from: now(), until: Infinity, value: make(question) };
    kept.delete(question);
    kept.set(question, one);
    for (const oldest of kept.keys()) if (kept.size > MOST) kept.delete(oldest);
    one.value.then(
      () => (one.until = now() + TIMES * (now() - one.from)),
      () => (one.until = -Infinity),
    );
    return one;
  }
  return async (question) => {
    const found = kept.get(question);
    const { from, value } = found && now() <= found.until ? found : begin(question);
    return { value: await value, age: (now() - from) / 1000 };
  };
}
