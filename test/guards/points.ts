/** Where a worker of a changed copy stops until it is told to go on; see guards.ts. */
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The files through which test and worker talk, in the folder that the worker finds in SAMVAD_HOLD. */
export const REACHED = 'reached';
export const GO_ON = 'go-on';

/** Says that this point was reached, and waits. Does nothing in a worker that is not told to. */
export async function hold(): Promise<void> {
  const folder = process.env['SAMVAD_HOLD'];
  if (folder === undefined || existsSync(path.join(folder, GO_ON))) return;
  writeFileSync(path.join(folder, REACHED), '');
  while (!existsSync(path.join(folder, GO_ON))) await sleep(20);
}
