/**
 * Folders that data sets are folded in: one each, below the data folder, which goes away with the data set. What a process leaves that
 * ended without a word, the next data set clears; a folder whose process still runs stays.
 */
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { ownedName, ownershipOf, TOUCH_MS } from '../producers/spool-owner.ts';

/** The folder of these folders in the data folder. */
export const DATA_SETS = 'data-sets';

/** A folder of a host that nobody here can look into is given up after so long. */
const FOREIGN_MS = 24 * 60 * 60 * 1000;

/** A folder that nobody else uses. */
export interface DataSetFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/** Makes a folder in `parent`, and clears those there that are nobody's any more. */
export async function openDataSetFolder(parent: string): Promise<DataSetFolder> {
  await mkdir(parent, { recursive: true });
  for (const name of await readdir(parent)) {
    const left = path.join(parent, name);
    if (await isLeft(parent, name)) await rm(left, { recursive: true, force: true });
  }
  const own = path.join(parent, await ownedName());
  await mkdir(own, { mode: 0o700 });
  const touching = setInterval(() => {
    const now = new Date();
    utimes(own, now, now).catch(() => undefined);
  }, TOUCH_MS).unref();
  return {
    path: own,
    async remove() {
      clearInterval(touching);
      await rm(own, { recursive: true, force: true });
    },
  };
}

async function isLeft(parent: string, name: string): Promise<boolean> {
  const ownership = await ownershipOf(parent, name);
  if (ownership !== 'foreign') return ownership === 'orphaned';
  const known = await stat(path.join(parent, name)).catch(() => undefined);
  return known !== undefined && Date.now() - known.mtimeMs > FOREIGN_MS;
}
