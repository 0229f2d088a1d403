/** Writes a data set to a file or folder, whole or not at all. */
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { canonicalLine } from './data-row.ts';
import type { DataSet, PlacedRow } from './data-set.ts';
import { filesOf } from './formats.ts';
import type { FormatName } from './formats.ts';

/**
 * Writes `dataSet` to `output`, a file for JSONL and a folder for the other formats, and the manifest beside it:
 * `FILE.manifest.json`, or `manifest.json` in the folder. Returns the manifest's place. JSONL is written row by row; the
 * other formats hold all rows in memory.
 */
export async function writeExport(dataSet: DataSet, format: FormatName, output: string): Promise<string> {
  const manifest = `${JSON.stringify(dataSet.manifest, undefined, 2)}\n`;
  if (format === 'jsonl') {
    await mkdir(path.dirname(output), { recursive: true });
    await replaced(output, (draft) => pipeline(Readable.from(lines(dataSet.rows())), createWriteStream(draft)));
    await replaced(`${output}.manifest.json`, (draft) => writeFile(draft, manifest));
    return `${output}.manifest.json`;
  }
  const rows = [...dataSet.rows()].map(({ row }) => row);
  const files = filesOf(format, rows, dataSet.manifest);
  for (const [name, content] of [...files, ['manifest.json', manifest] as const]) {
    const file = path.join(output, name);
    await mkdir(path.dirname(file), { recursive: true });
    await replaced(file, (draft) => writeFile(draft, content));
  }
  return path.join(output, 'manifest.json');
}

function* lines(rows: Iterable<PlacedRow>): Generator<string> {
  for (const { row } of rows) yield canonicalLine(row);
}

/** A reader of `file` sees the old content or the new one. */
async function replaced(file: string, write: (draft: string) => Promise<void>): Promise<void> {
  const draft = `${file}.draft`;
  try {
    await write(draft);
    await rename(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
}
