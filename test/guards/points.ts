/** The points that a worker reports to a test and may be held at. Edits put them into copies of the program; see guards.ts. */

/** The point at which this worker is held, the first time that it reaches it. */
const holdAt = process.env['SAMVAD_HOLD_AT'];
/** How many records it reads before it goes there. */
const records = Number(process.env['SAMVAD_HOLD_WITH']);
let hold: 'ahead' | 'now' | 'over' = holdAt === undefined ? 'over' : 'ahead';

/**
 * Reports to the test that this point was reached. If the worker is held here, resolves when the test sends anything. Returns
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
 * Whether a worker that has read `read` records reads on: until it has all records that it is held with, and while it is held,
 * because a client reports a revocation only while it reads.
 */
export function readsOn(read: number): boolean {
  return hold === 'ahead' ? read < records : hold === 'now' && read === 0;
}
