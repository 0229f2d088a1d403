/** Starts the work when all that it was given before has ended, whether it failed or not. */
export type OneAtATime = <T>(work: () => Promise<T>) => Promise<T>;

/** A queue of its own for work that must not overlap in this process. */
export function oneAtATime(): OneAtATime {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
}
