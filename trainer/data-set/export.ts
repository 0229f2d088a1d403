/** Writes a data set to a file or folder, whole or not at all. */
import { createWriteStream } from 'node:fs';
import { lstat, mkdir, readdir, readFile, rename, rmdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { canonicalLine } from './data-row.ts';
import type { DataRow } from './data-row.ts';
import type { DataSet, Manifest } from './data-set.ts';
import { openDataSetFolder } from './data-set-folder.ts';
import { filesOf } from './formats.ts';
import type { FormatName } from './formats.ts';

/** A place that an export can't be written to. */
export class ExportRefused extends Error {
  override readonly name = 'ExportRefused';
}

const MANIFEST = 'manifest.json';

/**
 * Writes `dataSet` to `output`, a file for JSONL and a folder for the other formats, and the manifest beside it:
 * `FILE.manifest.json`, or `manifest.json` in the folder. Returns the manifest's place. All is written as it is made; what a format
 * holds in memory meanwhile is said in `formats.ts`.
 * @throws ExportRefused as `checkPlace` does; the signal's reason when aborted: then nothing was written.
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
 * Looks whether an export may be written to `output`. A folder is replaced by another one, so that nothing of an earlier export stays;
 * one that holds anything but an export would lose it.
 * @throws ExportRefused when there is a folder, a device or a pipe in place of a file, a file in place of a folder, a folder of something else, or what can't
 * be replaced: the current folder, or a mount point.
 */
export async function checkPlace(format: FormatName, output: string): Promise<void> {
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

/** The system moves neither a mount point nor, everywhere, the folder that a process is in; and that one would be deleted. */
async function checkReplaceable(output: string): Promise<void> {
  const place = path.resolve(output);
  const below = path.relative(place, process.cwd());
  if (below.split(path.sep)[0] !== '..')
    throw new ExportRefused(
      `${output} ${below === '' ? 'is' : 'holds'} the current folder, and an export replaces the whole folder: name a new one with --output.`,
    );
  const found = await lstat(place); // of a link the link is replaced
  if (found.isDirectory() && found.dev !== (await stat(path.dirname(place))).dev)
    throw new ExportRefused(`${output} is a mount point, which can't be replaced: name a place in it with --output.`);
}

/** What exports of all formats, and of this program's earlier versions, have at the top of their folders. */
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

/** A reader of `file` sees the old content or the new one. */
function replaced(file: string, make: (draft: string) => Promise<void>): Promise<void> {
  return beside(file, async (folder) => {
    const draft = path.join(folder, 'draft');
    await make(draft);
    await rename(draft, file);
  });
}

/**
 * A reader sees the old folder or the new one, or for a moment none: (1) writes the new one beside it; (2) moves the old one aside;
 * (3) moves the new one to its place; (4) deletes the old one.
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
        const taken = ['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '');
        if (taken && others < MOST_OTHERS) continue; // another export to this place came in between, and is replaced too
        await rename(before, folder).catch(() => undefined);
        throw error;
      }
    }
  });
}

/** Exports to one place that may end while one of them is being put there. */
const MOST_OTHERS = 10;

/**
 * Has something made in a folder that nobody else uses, in `PLACE.samvad-draft`: on the same disk as `place`, so that it can be moved
 * there. Both go in the end; what a process leaves there that is cut off, the next export to that place clears.
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
