/** Answers that take long to make, given again to those who ask soon after. */

/** An answer, and how old it is. */
export interface KeptAnswer<T> {
  readonly value: T;
  /** Since it was begun to be made, in seconds. */
  readonly age: number;
}

/** An answer is kept for so many times as long as it took: making it anew then takes a twentieth of one connection's time at most. */
const TIMES = 19;
/** Questions whose answers are kept at a time. */
const MOST = 100;

/** Asks `make` where there is no answer to the question that is young enough; those who ask meanwhile wait for the same one. */
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
