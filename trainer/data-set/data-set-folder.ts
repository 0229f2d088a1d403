/**
 * Temporary folders, each removed with its user: in the data folder for a data set being read and for the input of an
 * external program, and beside an export for its draft. Leftovers of a process that ended without cleaning up are
 * removed by the next one; folders of running processes stay.
 */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { keepTouched, ownedName, ownershipOf } from '../../runtime/folder-owner.ts';
import { reasonOf } from '../../runtime/reason.ts';
import { TrainingError } from '../learning/train.ts';

/** The parent of these folders in the data folder. */
export const DATA_SETS = 'data-sets';

/** A folder of a process on another host, which can't be checked from here, counts as abandoned after this time. */
const FOREIGN_MS = 24 * 60 * 60 * 1000;

/** A folder for exclusive use. */
export interface DataSetFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/** Makes a folder in `parent`, and removes abandoned ones there. */
export async function openDataSetFolder(parent: string): Promise<DataSetFolder> {
  await mkdir(parent, { recursive: true });
  for (const name of await readdir(parent).catch(() => [])) {
    const left = path.join(parent, name);
    // A folder that can't be removed belongs to another user, who must remove it.
    if (await isLeft(parent, name)) await rm(left, { recursive: true, force: true }).catch(() => undefined);
  }
  const own = path.join(parent, await ownedName());
  await mkdir(own, { recursive: true, mode: 0o700 }); // another process may remove an empty `parent` at any time
  const stopTouching = keepTouched(() => [own]);
  return {
    path: own,
    async remove() {
      stopTouching();
      await rm(own, { recursive: true, force: true });
    },
  };
}

/** The error that a data set can't be stored in `folder`, and why; it fails a run. */
export function noRoom(folder: string, cause: unknown): TrainingError {
  return new TrainingError(
    `A data set can't be kept in ${folder}: ${reasonOf(cause)}. Make room there, or name another data folder (SAMVAD_HOME), and try again.`,
    { cause },
  );
}

async function isLeft(parent: string, name: string): Promise<boolean> {
  const ownership = await ownershipOf(parent, name);
  if (ownership !== 'foreign') return ownership === 'orphaned' || ownership === 'untouched';
  const known = await stat(path.join(parent, name)).catch(() => undefined);
  return known !== undefined && Date.now() - known.mtimeMs > FOREIGN_MS;
}
