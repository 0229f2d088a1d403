/** The points of a worker that a test hears of and may hold it at. Edits put them into copies of the program; see guards.ts. */

/** The point at which this worker is held, the first time that it comes there. */
const holdAt = process.env['SAMVAD_HOLD_AT'];
/** How many records it is to read before it goes there. */
const records = Number(process.env['SAMVAD_HOLD_WITH']);
let hold: 'ahead' | 'now' | 'over' = holdAt === undefined ? 'over' : 'ahead';

/**
 * Tells the test that this point was reached. Where the worker is to be held, resolves when the test sends anything. Returns
 * whether it was held.
 */
export async function point(name: string): Promise<boolean> {
  process.send?.(name);
  if (hold !== 'ahead' || name !== holdAt) return false;
  hold = 'now';
  await new Promise((resolve) => process.once('message', resolve));
  hold = 'over';
  return true;
}

/**
 * Whether a worker with `read` records in its hands reads on: until it has all that it is to be held with, and while it is
 * held, because a client tells of a revocation only while it reads.
 */
export function readsOn(read: number): boolean {
  return hold === 'ahead' ? read < records : hold === 'now' && read === 0;
}
