/** Caches answers that are expensive to compute. */
import type { FastifyReply } from 'fastify';

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

/**
 * Calls `make` when there is no recent answer to the question, which is a value of JSON or nothing. Concurrent callers
 * share one computation.
 */
export function keptAnswers<Question = void, T = unknown>(
  make: (question: Question) => Promise<T>,
  now: () => number = () => performance.now(),
): (question: Question) => Promise<KeptAnswer<T>> {
  const kept = new Map<string, { readonly from: number; until: number; readonly value: Promise<T> }>();
  function begin(question: Question, key: string) {
    const one = { from: now(), until: Infinity, value: make(question) };
    kept.delete(key);
    kept.set(key, one);
    for (const oldest of kept.keys()) if (kept.size > MOST) kept.delete(oldest);
    one.value.then(
      () => (one.until = now() + TIMES * (now() - one.from)),
      () => (one.until = -Infinity),
    );
    return one;
  }
  return async (question) => {
    const key = JSON.stringify(question);
    const found = kept.get(key);
    const { from, value } = found && now() <= found.until ? found : begin(question, key);
    return { value: await value, age: (now() - from) / 1000 };
  };
}

/** The value, as an answer whose header `age` has its age in seconds. */
export function withAge<T>(reply: FastifyReply, { value, age }: KeptAnswer<T>): T {
  reply.header('age', Math.floor(age));
  return value;
}
