import assert from 'node:assert/strict';
import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ArtifactError, hashOf, openArtifactFolder } from '../../trainer/artifacts.ts';

let home: string;
before(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), 'samvad-artifacts-'));
});
after(async () => {
  await rm(home, { recursive: true, force: true });
});
const bytes = Buffer.from('a model');
const says = (pattern: RegExp) => (error: unknown) => error instanceof ArtifactError && pattern.test(error.message);

describe('artifact folder', () => {
  it('returns what was put, under its hash, and keeps it once', async () => {
    const store = openArtifactFolder(path.join(home, 'a'));
    const sha256 = await store.put(bytes);
    assert.equal(sha256, hashOf(bytes));
    assert.equal(await store.put(bytes), sha256);
    assert.deepEqual(await store.get(sha256), bytes);
    assert.equal(await store.has(sha256), true);
    assert.deepEqual(await readdir(path.join(home, 'a', sha256.slice(0, 2))), [sha256]);
  });
  it('says that a file is missing or damaged, and repairs a damaged one that is put again', async () => {
    const folder = path.join(home, 'b');
    const store = openArtifactFolder(folder);
    await assert.rejects(store.get(hashOf(bytes)), says(/is not in .*train the model again/));
    const sha256 = await store.put(bytes);
    await writeFile(path.join(folder, sha256.slice(0, 2), sha256), 'half a mo');
    await assert.rejects(store.get(sha256), says(/was damaged/));
    await store.put(bytes);
    assert.deepEqual(await store.get(sha256), bytes);
  });
  it('leaves nothing behind when the disk is full, and works again when there is room', async () => {
    const folder = path.join(home, 'c');
    let full = true;
    const store = openArtifactFolder(folder, {
      async open(file) {
        const handle = await open(file, 'wx');
        return {
          async writeFile(content: Uint8Array) {
            if (!full) return handle.writeFile(content);
            await handle.writeFile(content.subarray(0, 3));
            throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
          },
          sync: () => handle.sync(),
          close: () => handle.close(),
        };
      },
    });
    await assert.rejects(store.put(bytes), says(/7 bytes can't be kept.*disk is full.*resume/));
    assert.equal(await store.has(hashOf(bytes)), false);
    assert.deepEqual(await readdir(path.join(folder, hashOf(bytes).slice(0, 2))), []);
    full = false;
    assert.deepEqual(await store.get(await store.put(bytes)), bytes);
  });
  it('accepts only hashes as names', async () => {
    await assert.rejects(openArtifactFolder(home).get('../../etc/passwd'), says(/not a SHA-256/));
  });
});
