/** Copies of the program that differ from it by some edits. */
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Edit } from './guards.ts';

const source = path.join(import.meta.dirname, '..', '..');
/** What a worker does not need. */
const LEFT_OUT = new Set(['node_modules', 'test', 'bench', 'docs', 'examples', 'shared']);

/**
 * Copies the program into `folder`, with its points where workers are held.
 * @throws Error when the text of an edit is not there exactly once: the guard has moved, and the edit must follow.
 */
export async function copyProgram(folder: string, edits: readonly Edit[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const part of await readdir(source)) {
    if (!LEFT_OUT.has(part) && !part.startsWith('.'))
      await cp(path.join(source, part), path.join(folder, part), { recursive: true });
  }
  await cp(path.join(import.meta.dirname, 'hold.ts'), path.join(folder, 'runtime', 'hold.ts'));
  await symlink(path.join(source, 'node_modules'), path.join(folder, 'node_modules'));
  for (const { file, from, to } of edits) {
    const target = path.join(folder, file);
    const text = await readFile(target, 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${file} does not have this text exactly once: ${from}`);
    await writeFile(
      target,
      text.replace(from, () => to),
    );
  }
  for (const file of new Set(edits.filter(({ to }) => to.includes('hold()')).map((edit) => edit.file))) {
    const target = path.join(folder, file);
    await writeFile(target, `import { hold } from './hold.ts';\n${await readFile(target, 'utf8')}`);
  }
}
