/**
 * Folders for what is needed while something is made, one each, which go away with it: in the data folder that of a data set while it is
 * read and that of what an external trainer is given, and beside an export its draft. What a process leaves that ended without a word, the
 * next one clears; a folder whose process still runs stays.
 */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { keepTouched, ownedName, ownershipOf } from '../../runtime/folder-owner.ts';
import { reasonOf } from '../../runtime/reason.ts';
import { TrainingError } from '../learning/train.ts';

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
  for (const name of await readdir(parent).catch(() => [])) {
    const left = path.join(parent, name);
    // One that can't be removed is another user's, for whom it is to clear.
    if (await isLeft(parent, name)) await rm(left, { recursive: true, force: true }).catch(() => undefined);
  }
  const own = path.join(parent, await ownedName());
  await mkdir(own, { recursive: true, mode: 0o700 }); // `parent` may be taken away meanwhile, where that is empty
  const stopTouching = keepTouched(() => [own]);
  return {
    path: own,
    async remove() {
      stopTouching();
      await rm(own, { recursive: true, force: true });
    },
  };
}

/** Says that a data set can't be kept in `folder`, and why; it fails a run. */
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
