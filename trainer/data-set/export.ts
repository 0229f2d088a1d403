/** Writes a data set to a file or folder, all of it or nothing. */
import { createWriteStream } from 'node:fs';
import { lstat, mkdir, readdir, readFile, rename, rmdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isErrorCode } from '../../runtime/reason.ts';
import { canonicalLine } from './data-row.ts';
import type { DataRow } from './data-row.ts';
import type { DataSet, Manifest } from './data-set.ts';
import { openDataSetFolder } from './data-set-folder.ts';
import { filesOf } from './formats.ts';
import type { FormatName } from './formats.ts';

/** The export can't be written to this place. */
export class ExportRefused extends Error {
  override readonly name = 'ExportRefused';
}

const MANIFEST = 'manifest.json';

/**
 * Writes `dataSet` to `output` (a file for JSONL, a folder for the other formats) and its manifest to
 * `FILE.manifest.json`, or to `manifest.json` in the folder. Returns the path of the manifest. Files are written while
 * they are generated; `formats.ts` says what a format holds in memory.
 * @throws ExportRefused as `checkPlace` does. @throws the signal's reason when aborted; nothing was written then.
 */
export async function writeExport(
  dataSet: DataSet,
  format: FormatName,
  output: string,
  signal?: AbortSignal,
): Promise<string> {
  await checkPlace(format, output);
  const manifest = `${JSON.stringify(dataSet.manifest, undefined, 2)}\n`;
  function* rows(): Generator<DataRow> {
    for (const { row } of dataSet.rows()) yield row;
  }
  if (format === 'jsonl') {
    await mkdir(path.dirname(output), { recursive: true });
    await replaced(output, (draft) => write(draft, lines(rows()), signal));
    await replaced(`${output}.manifest.json`, (draft) => writeFile(draft, manifest));
    return `${output}.manifest.json`;
  }
  await replacedFolder(output, async (draft) => {
    for (const [name, content] of [...filesOf(format, rows, dataSet.manifest), [MANIFEST, [manifest]] as const]) {
      const file = path.join(draft, name);
      await mkdir(path.dirname(file), { recursive: true });
      await write(file, content, signal);
    }
  });
  return path.join(output, MANIFEST);
}

/**
 * Checks whether an export may be written to `output`. A folder is replaced as a whole, so that nothing of an earlier
 * export stays; so it must not hold anything but an export.
 * @throws ExportRefused when `output` is empty, a folder, a device or a pipe stands in place of a file, a file in place of a folder, the
 * folder holds other files, or it can't be replaced: the current folder, or a mount point.
 */
export async function checkPlace(format: FormatName, output: string): Promise<void> {
  if (output === '') throw new ExportRefused('The name of the output is empty; give it with --output.');
  const found = await stat(output).catch(unlessMissing);
  if (!found) return;
  if (format === 'jsonl') {
    if (found.isDirectory()) throw new ExportRefused(`${output} is a folder; name a file for the format jsonl.`);
    if (!found.isFile())
      throw new ExportRefused(`${output} is a device or a pipe, and an export replaces what is there: name a file.`);
    return;
  }
  if (!found.isDirectory())
    throw new ExportRefused(`${output} is a file; name a folder for the format ${format} with --output.`);
  await checkReplaceable(output);
  const names = await readdir(output);
  if (names.length === 0) return;
  const known = await readFile(path.join(output, MANIFEST), 'utf8').then(isManifest, () => false);
  const foreign = known ? names.find((name) => !WRITTEN.has(name)) : names[0];
  if (foreign !== undefined)
    throw new ExportRefused(
      `${output} holds ${foreign}, which no export wrote. An export replaces the whole folder: name a new one with --output.`,
    );
}

/**
 * A mount point can't be moved, and on some systems neither can the current folder of a process, which would also be
 * deleted.
 */
async function checkReplaceable(output: string): Promise<void> {
  const place = path.resolve(output);
  const below = path.relative(place, process.cwd());
  if (below.split(path.sep)[0] !== '..')
    throw new ExportRefused(
      `${output} ${below === '' ? 'is' : 'holds'} the current folder, and an export replaces the whole folder: name a new one with --output.`,
    );
  const found = await lstat(place); // a symbolic link is itself replaced
  if (found.isDirectory() && found.dev !== (await stat(path.dirname(place))).dev)
    throw new ExportRefused(`${output} is a mount point, which can't be replaced: name a place in it with --output.`);
}

/** Names at the top of export folders, of all formats and earlier versions of this program. */
const WRITTEN = new Set([
  MANIFEST,
  'README.md',
  'data',
  'nlu.yml',
  'nlu-literal.json',
  'train.jsonl',
  'tasks.json',
  'label-config.xml',
]);

function isManifest(text: string): boolean {
  try {
    return (JSON.parse(text) as Partial<Manifest> | null)?.format === 'samvad-data-set-1';
  } catch {
    return false;
  }
}

function* lines(rows: Iterable<DataRow>): Generator<string> {
  for (const row of rows) yield canonicalLine(row);
}

function write(file: string, content: Iterable<string>, signal: AbortSignal | undefined): Promise<void> {
  return pipeline(Readable.from(content), createWriteStream(file), { signal });
}

/** Replaces a file atomically: a reader sees either the old or the new content. */
function replaced(file: string, make: (draft: string) => Promise<void>): Promise<void> {
  return beside(file, async (folder) => {
    const draft = path.join(folder, 'draft');
    await make(draft);
    await rename(draft, file);
  });
}

/**
 * Replaces a folder; a reader sees the old one, the new one, or for a moment none: (1) write the new one beside it; (2)
 * move the old one aside; (3) move the new one into place; (4) delete the old one.
 */
function replacedFolder(folder: string, make: (draft: string) => Promise<void>): Promise<void> {
  return beside(folder, async (own) => {
    const draft = path.join(own, 'draft');
    await mkdir(draft);
    await make(draft);
    for (let others = 0; ; others++) {
      const before = path.join(own, `before-${others}`);
      await rename(folder, before).catch(unlessMissing);
      try {
        await rename(draft, folder);
        return;
      } catch (error) {
        const taken = isErrorCode(error, 'ENOTEMPTY', 'EEXIST');
        if (taken && others < MOST_OTHERS) continue; // another export to this place finished in between; it is replaced too
        await rename(before, folder).catch(() => undefined);
        throw error;
      }
    }
  });
}

/** The most other exports to the same place that may finish while one is moved into place. */
const MOST_OTHERS = 10;

/**
 * Runs `make` with an exclusive folder in `PLACE.samvad-draft`, on the same disk as `place`, so that the result can be
 * moved there. Both folders are removed at the end; the next export to that place removes leftovers of a killed
 * process.
 */
async function beside(place: string, make: (folder: string) => Promise<void>): Promise<void> {
  const drafts = `${path.resolve(place)}.samvad-draft`;
  const own = await openDataSetFolder(drafts);
  try {
    await make(own.path);
  } finally {
    await own.remove();
    await rmdir(drafts).catch(() => undefined); // another export to that place has a draft there
  }
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
