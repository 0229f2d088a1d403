/** Replaces files in one step, and makes new names durable. */
import { open, rename, writeFile } from 'node:fs/promises';

/**
 * Gives `file` new content. Readers see all of the old content or all of the new. Nothing is flushed: after a power cut the file
 * may be empty. `mode` holds the access rights of the new file, before the process's umask.
 */
export async function replaceFile(file: string, content: string, mode = 0o666): Promise<void> {
  const draft = `${file}.${process.pid}.draft`;
  await writeFile(draft, content, { mode });
  await rename(draft, file);
}

/** Flushes a folder: only then is the name of a new or renamed file in it safe from a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
