/** How the two lanes of the review queue alternate. */

/** Every eighth item comes from the drawn lane, which holds the audits. `bench/audit.ts` assumes it. */
const DRAWN_EVERY = 8;

/**
 * The next `count` items for a reviewer who was already given `before`: every eighth from `drawn`, the others from
 * `main`, and from the other lane when one is empty. Counting continues from request to request: by place in the queue
 * alone, a reviewer who always takes the first item would never get the eighth.
 */
export function takeTurns<T>(main: readonly T[], drawn: readonly T[], before: number, count: number): readonly T[] {
  const taken: T[] = [];
  let [m, d] = [0, 0];
  while (taken.length < count && (m < main.length || d < drawn.length)) {
    const turn = before + taken.length + 1;
    const fromDrawn = m >= main.length || (turn % DRAWN_EVERY === 0 && d < drawn.length);
    const item = fromDrawn ? drawn[d++] : main[m++];
    if (item !== undefined) taken.push(item);
  }
  return taken;
}
