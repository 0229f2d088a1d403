import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Fenced, openStateStore } from '../../runtime/state-store.ts';
import type { StateStore } from '../../runtime/state-store.ts';
import type { StateChanges } from '../../stream/batch.ts';

describe('the table of a processor on disk', () => {
  let folder: string;
  let store: StateStore;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-state-'));
    store = openStateStore(folder);
    store.claim(0);
  });
  afterEach(async () => {
    await store.close();
    await rm(folder, { recursive: true });
  });
  const read = (key: string) => store.reader(0).get(key)?.toString();

  it('shows staged changes at once, the newest first, and deletions too', async () => {
    store.apply(0, [['a', Buffer.from('old')]]);
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
    store = openStateStore(folder);
    assert.equal(read('a'), undefined);
  });

  it('keeps what was written, and how far the topic was read', async () => {
    await store.stage(changes({ a: 'kept' })).write();
    store.apply(0, [], 42);
    await store.close();
    store = openStateStore(folder);
    assert.deepEqual([read('a'), store.claim(0)], ['kept', 42]);
  });

  it('refuses every write of an owner whose partition was taken over', async () => {
    const staged = store.stage(changes({ a: 'late' }));
    const successor = openStateStore(folder);
    successor.claim(0);
    await assert.rejects(staged.write(), Fenced);
    assert.throws(() => store.apply(0, [['a', Buffer.from('late')]]), Fenced);
    assert.throws(() => store.reset(0), Fenced);
    assert.equal(successor.reader(0).get('a'), undefined);
    await successor.close();
  });
});

function changes(entries: Record<string, string | null>): StateChanges {
  const place = { topic: 'table', partition: 0, timestamp: 0, traceparent: null };
  const records = Object.entries(entries).map(
    ([key, value]) => [key, { ...place, key, value: value === null ? null : Buffer.from(value) }] as const,
  );
  return new Map([[0, new Map(records)]]);
}
