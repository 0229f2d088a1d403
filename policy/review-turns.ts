/** How the two lanes of the review queue take turns. */

/** Every eighth item comes from the lane that chance has drawn, which holds the audits. `bench/audit.ts` assumes it. */
const DRAWN_EVERY = 8;

/**
 * The next `count` items of somebody who was given `before` items already: every eighth from `drawn`, the others from
 * `main`, and from the other lane where one is empty. The count goes on from request to request; a place in the queue
 * alone would not do, because whoever always takes the first item never comes to the eighth.
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
