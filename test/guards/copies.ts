/** Copies of the program that differ from it by some edits. */
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Edit } from './guards.ts';

const source = path.join(import.meta.dirname, '..', '..');
/** What a worker does not need. */
const LEFT_OUT = new Set(['node_modules', 'test', 'bench', 'docs', 'examples', 'shared']);
const WORKER = ['test/guards/worker.ts', 'test/guards/points.ts'];

/**
 * Copies the program into `folder` and applies `edits`.
 * @throws Error when the text of an edit does not occur exactly once: the code has changed, and the edit must follow.
 */
export async function copyProgram(folder: string, edits: readonly Edit[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  const parts = (await readdir(source)).filter((part) => !LEFT_OUT.has(part) && !part.startsWith('.'));
  for (const part of [...parts, ...WORKER])
    await cp(path.join(source, part), path.join(folder, part), { recursive: true });
  await symlink(path.join(source, 'node_modules'), path.join(folder, 'node_modules'));
  for (const file of new Set(edits.map((edit) => edit.file))) {
    let text = await readFile(path.join(folder, file), 'utf8');
    for (const { from, to } of edits.filter((edit) => edit.file === file)) {
      if (text.split(from).length !== 2) throw new Error(`${file} does not have this text exactly once: ${from}`);
      text = text.replace(from, () => to);
    }
    await writeFile(path.join(folder, file), `import { point, readsOn } from '../test/guards/points.ts';\n${text}`);
  }
}
