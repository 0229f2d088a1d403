import assert from 'node:assert/strict';
import { execFile, fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import disk, { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { ownershipOf } from '../../runtime/folder-owner.ts';
import { openStateStore } from '../../runtime/state-store.ts';
import type { StateStore } from '../../runtime/state-store.ts';
import type { StateChanges } from '../../stream/batch.ts';

describe('the table of a processor on disk', () => {
  let folder: string;
  let store: StateStore;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-state-'));
    store = await openStateStore(folder);
    store.restoredTo(0, Infinity);
  });
  afterEach(async () => {
    await store.close();
    await rm(folder, { recursive: true });
  });
  const read = (key: string) => store.reader(0).get(key)?.toString();

  it('shows staged changes at once, the newest first, and deletions too', async () => {
    store.apply(0, [['a', Buffer.from('old')]], 1);
    const first = store.stage(changes({ a: 'one', b: 'one' }));
    const second = store.stage(changes({ a: 'two', b: null }));
    assert.deepEqual([read('a'), read('b')], ['two', undefined]);
    await first.write();
    assert.deepEqual([read('a'), read('b')], ['two', undefined]);
    await second.write();
    assert.deepEqual([read('a'), read('b')], ['two', undefined]);
  });

  it('forgets what was staged and never written', async () => {
    store.stage(changes({ a: 'uncommitted' }));
    await store.close();
    store = await openStateStore(folder);
    assert.equal(read('a'), undefined);
  });

  it('keeps what was written, and how far the topic was read', async () => {
    await store.stage(changes({ a: 'kept' })).write();
    store.apply(0, [], 42);
    await store.close();
    const [name = ''] = await readdir(folder);
    assert.equal(await ownershipOf(folder, name), 'orphaned'); // also for a container that can't see processes of others
    store = await openStateStore(folder);
    assert.deepEqual([read('a'), store.restoredTo(0, Infinity)], ['kept', 42]);
  });

  it('gives two owners at once a copy each, and passes both copies on to later owners', async () => {
    store.apply(0, [['a', Buffer.from('mine')]], 1);
    const other = await openStateStore(folder);
    assert.deepEqual([other.restoredTo(0, Infinity), other.reader(0).get('a')], [0, undefined]);
    other.apply(0, [['a', Buffer.from('newer')]], 2);
    await other.close();
    const successor = await openStateStore(folder);
    assert.deepEqual([successor.restoredTo(0, Infinity), read('a')], [2, 'mine']);
    await successor.close();
    assert.equal((await readdir(folder)).length, 2);
  });

  it('takes over the copy of a killed process, and never that of a running one', async () => {
    const killed = await startOwner(folder);
    const running = await startOwner(folder);
    try {
      killed.child.kill('SIGKILL');
      await once(killed.child, 'exit');
      const second = await openStateStore(folder);
      const third = await openStateStore(folder);
      const found = [second, third].map((one) => (one.restoredTo(0, Infinity), one.reader(0).get('owner')?.toString()));
      assert.deepEqual(found, [killed.name, undefined]);
      await Promise.all([second.close(), third.close()]);
    } finally {
      running.child.kill('SIGKILL');
      await once(running.child, 'exit');
    }
  });

  it('forgets partitions that it no longer has half a day after their last update, and keeps its own', async (t) => {
    const at = (ago: number) => t.mock.timers.setTime(real - ago * 3_600_000);
    const real = Date.now();
    t.mock.timers.enable({ apis: ['Date'], now: real });
    const get = (partition: number) => store.reader(partition).get('a')?.toString();
    at(14);
    for (const partition of [0, 1]) store.apply(partition, [['a', Buffer.from('erased meanwhile')]], 5);
    at(3);
    store.apply(2, [['a', Buffer.from('may come back')]], 5);
    at(0);
    await store.sweep([0]);
    assert.deepEqual([0, 1, 2].map(get), ['erased meanwhile', undefined, 'may come back']);
    assert.deepEqual([store.restoredTo(1, Infinity), store.restoredTo(2, Infinity)], [0, 5]);
    await store.close();
    store = await openStateStore(folder);
    assert.deepEqual([0, 1, 2].map(get), [undefined, undefined, 'may come back']);
  });

  it('deletes the copy of a worker that ended, half a day later, without a restart', async () => {
    const other = await openStateStore(folder);
    other.apply(0, [['a', Buffer.from('erased meanwhile')]], 5);
    await other.close();
    const longAgo = new Date(Date.now() - 13 * 3600 * 1000);
    for (const name of await readdir(folder)) await utimes(path.join(folder, name, 'data.mdb'), longAgo, longAgo);
    await store.sweep([0]);
    assert.equal((await readdir(folder)).length, 1);
  });

  it('deletes a copy that no process has written to for half a day, and the file of an earlier release', async () => {
    const longAgo = new Date(Date.now() - 13 * 3600 * 1000);
    for (const name of ['other-host~1~start~1~a', 'other-host~2~start~1~b']) await leave(name);
    await utimes(path.join(folder, 'other-host~1~start~1~a', 'data.mdb'), longAgo, longAgo);
    await writeFile(path.join(folder, 'data.mdb'), '');
    await (await openStateStore(folder)).close();
    assert.deepEqual(await others(), ['other-host~2~start~1~b']);
  });

  it("deletes a copy that can't be opened, and takes another", async () => {
    store.apply(0, [['a', Buffer.from('kept')]], 5);
    await store.close();
    const aMinuteAgo = new Date(Date.now() - 60_000);
    for (const name of await readdir(folder)) await utimes(path.join(folder, name, 'data.mdb'), aMinuteAgo, aMinuteAgo);
    await mkdir(path.join(folder, 'free~damaged', 'data.mdb'), { recursive: true });
    store = await openStateStore(folder);
    assert.deepEqual([store.restoredTo(0, Infinity), read('a')], [5, 'kept']);
    assert.equal((await readdir(folder)).length, 1);
  });

  it('takes over the copy of a process whose id another process has now', async () => {
    const [host, , , namespace] = (await readdir(folder))[0]?.split('~') ?? [];
    await leave(`${host}~${process.ppid}~before~${namespace}~a`);
    await (await openStateStore(folder)).close();
    assert.deepEqual(await others(), []);
    assert.equal((await readdir(folder)).length, 2);
  });

  it("never takes the copy of a container that it can't see into, and deletes one that was not touched for a minute", async () => {
    const [host] = (await readdir(folder))[0]?.split('~') ?? [];
    const name = `${host}~${process.pid}~start~1~a`;
    await leave(name);
    await (await openStateStore(folder)).close();
    assert.deepEqual(await others(), [name]);
    const aMinuteAgo = new Date(Date.now() - 61_000);
    await utimes(path.join(folder, name), aMinuteAgo, aMinuteAgo);
    await store.sweep([0]);
    assert.deepEqual(await others(), []);
  });

  it('names the folder when its disk is full, and does not end the process', async () => {
    const owner = path.join(import.meta.dirname, 'state-owner.ts');
    const limited = `ulimit -f 20000; trap '' XFSZ; exec '${process.execPath}' --import tsx '${owner}' '${folder}' fill`;
    const { stdout } = await promisify(execFile)('sh', ['-c', limited]);
    assert.ok(stdout.startsWith(`Error: The tables in ${folder}/`), stdout);
    assert.match(stdout, /can't be written: Input\/output error\. Is the disk full\?$/);
  });

  it("leaves a copy that it can't delete, and logs that once", async (t) => {
    const name = 'not-ours';
    await leave(name);
    const lines: string[] = [];
    const refused = t.mock.method(disk, 'rm', () => Promise.reject(new Error('EACCES: permission denied')));
    syncBuiltinESMExports();
    try {
      const other = await openStateStore(folder, pino({}, { write: (line: string) => void lines.push(line) }));
      await other.sweep([]);
      await other.close();
    } finally {
      refused.mock.restore();
      syncBuiltinESMExports();
    }
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /not-ours.*can not be deleted/);
  });

  /** Creates the copy that a process of that name leaves behind. */
  async function leave(name: string): Promise<void> {
    await mkdir(path.join(folder, name));
    await writeFile(path.join(folder, name, 'data.mdb'), '');
  }

  /** Folders that this process neither uses nor has left behind. */
  async function others(): Promise<readonly string[]> {
    const known = await Promise.all(
      (await readdir(folder)).map(async (name) =>
        (await ownershipOf(folder, name)) === 'ours' || name.startsWith('free~') ? [] : [name],
      ),
    );
    return known.flat();
  }
});

function changes(entries: Record<string, string | null>): StateChanges {
  const place = { topic: 'table', partition: 0, timestamp: 0, traceparent: null };
  const records = Object.entries(entries).map(
    ([key, value]) => [key, { ...place, key, value: value === null ? null : Buffer.from(value) }] as const,
  );
  return new Map([[0, new Map(records)]]);
}

/** Starts a process that has its own copy open, with its name in it. */
async function startOwner(folder: string): Promise<{ readonly child: ChildProcess; readonly name: string }> {
  const child = fork(path.join(import.meta.dirname, 'state-owner.ts'), [folder]);
  const [name] = (await once(child, 'message')) as [string];
  return { child, name };
}
