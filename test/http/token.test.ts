import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { tokenCommand } from '../../cli/token.ts';
import { parseTokens } from '../../http/tokens.ts';

it('samvad token new --file never writes a file that a server would refuse', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-token-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'tokens.txt');
  const make = (name: string) => tokenCommand().parseAsync(['new', name, 'review', '--file', file], { from: 'user' });
  await make('asha');
  await writeFile(file, (await readFile(file, 'utf8')).trimEnd()); // as an editor may leave it
  await make('meera');
  const before = await readFile(file, 'utf8');
  await assert.rejects(make('asha'), {
    name: 'UsageError',
    message: `${file}, line 3: there are two tokens of asha; give each its own name.`,
  });
  assert.equal(await readFile(file, 'utf8'), before);
  assert.deepEqual(
    parseTokens(before).map(({ name }) => name),
    ['asha', 'meera'],
  );
});
