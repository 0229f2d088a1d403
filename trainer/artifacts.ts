/** Files that the log names by their SHA-256: models and reports. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { isErrorCode, reasonOf } from '../runtime/reason.ts';
import { syncFolder } from '../runtime/replace-file.ts';

/** Stores files by content. Writing existing content again changes nothing. */
export interface ArtifactStore {
  /**
   * Stores `bytes` and returns their SHA-256 in hexadecimal. They are on the disk when it returns.
   * @throws ArtifactError when they can't be written. A partly written file never has a hash as its name.
   */
  put(bytes: Uint8Array): Promise<string>;
  /** The bytes with this hash. @throws ArtifactError when the file is missing or damaged. */
  get(sha256: string): Promise<Buffer>;
  has(sha256: string): Promise<boolean>;
}

/** A file can't be stored or read. The message says what to do. */
export class ArtifactError extends Error {
  override readonly name = 'ArtifactError';
}

/** The file system functions used for writing; a test simulates a full disk. */
export interface Disk {
  open(file: string): Promise<Pick<FileHandle, 'writeFile' | 'sync' | 'close'>>;
}

const realDisk: Disk = { open: (file) => open(file, 'wx') };

/** A store in `folder`: `ab/abcdef…`. Several processes may share a folder. */
export function openArtifactFolder(folder: string, disk: Disk = realDisk): ArtifactStore {
  const fileOf = (sha256: string) => path.join(folder, sha256.slice(0, 2), sha256);

  async function put(bytes: Uint8Array): Promise<string> {
    const sha256 = hashOf(bytes);
    const file = fileOf(sha256);
    if (await isWhole(file, sha256)) return sha256;
    const draft = `${file}.${randomUUID()}.draft`;
    try {
      await mkdir(path.dirname(file), { recursive: true });
      // 1. The content is on the disk before its name is. 2. Renaming is atomic. 3. The name is on the disk.
      await written(draft, bytes, disk);
      await rename(draft, file);
      await syncFolder(path.dirname(file));
      return sha256;
    } catch (cause) {
      await rm(draft, { force: true });
      const full = isErrorCode(cause, 'ENOSPC', 'EDQUOT');
      const why = full ? 'the disk is full' : reasonOf(cause);
      throw new ArtifactError(
        `A file of ${bytes.length} bytes can't be kept in ${folder}: ${why}. ${full ? 'Make room, then resume the run.' : ''}`.trim(),
        { cause },
      );
    }
  }

  async function get(sha256: string): Promise<Buffer> {
    checkName(sha256);
    const bytes = await readFile(fileOf(sha256)).catch((cause: unknown) => {
      throw new ArtifactError(
        `The file ${sha256} is not in ${folder}; copy it there from another machine or train the model again.`,
        { cause },
      );
    });
    if (hashOf(bytes) !== sha256)
      throw new ArtifactError(
        `The file ${fileOf(sha256)} was damaged: its content has another SHA-256. Delete it and copy it again or train the model again.`,
      );
    return bytes;
  }

  return {
    put,
    get,
    async has(sha256) {
      checkName(sha256);
      return stat(fileOf(sha256)).then(
        (found) => found.isFile(),
        () => false,
      );
    },
  };
}

/** The SHA-256 of `bytes` in hexadecimal. */
export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A name may come from a request and must not lead out of the folder. */
function checkName(sha256: string): void {
  if (!/^[0-9a-f]{64}$/.test(sha256))
    throw new ArtifactError(`${JSON.stringify(sha256)} is not a SHA-256 in hexadecimal.`);
}

async function isWhole(file: string, sha256: string): Promise<boolean> {
  const bytes = await readFile(file).catch(() => undefined);
  return bytes !== undefined && hashOf(bytes) === sha256;
}

async function written(file: string, bytes: Uint8Array, disk: Disk): Promise<void> {
  const handle = await disk.open(file);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
