import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { restoreTable } from '../../runtime/restore.ts';
import { openStateStore } from '../../runtime/state-store.ts';
import type { StateStore } from '../../runtime/state-store.ts';
import type { Watermarks } from '../../runtime/watermarks.ts';

const HOUR_MS = 3_600_000;

describe('a table that was left on disk', () => {
  let folder: string;
  let store: StateStore;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-restore-'));
    store = await openStateStore(folder);
    for (const partition of [0, 1]) store.apply(partition, [['a', Buffer.from('left')]], 42);
  });
  afterEach(async () => {
    await store.close();
    await rm(folder, { recursive: true });
  });
  const read = (partition: number) => store.reader(partition).get('a')?.toString();
  /** Reads nothing from Kafka when the copy is at the end of its topic. */
  const restore = (partition: number, high: number) =>
    restoreTable({
      ...{ topic: 'table', partition, store, kafka: { brokers: '127.0.0.1:9' } },
      watermarks: { of: () => Promise.resolve({ low: 0, high }) } as unknown as Watermarks,
    });

  it('is used while it is at the end of its topic', async () => {
    assert.equal(await restore(0, 42), 0);
    assert.deepEqual([read(0), store.restoredTo(0, Infinity)], ['left', 42]);
  });

  it('is dropped, and read from the beginning, when it was not updated for half a day', (t) => {
    const written = Date.now();
    t.mock.method(Date, 'now', () => written + 11 * HOUR_MS);
    assert.equal(store.restoredTo(0, Infinity), 42);
    store.apply(1, [], 43); // updated
    t.mock.method(Date, 'now', () => written + 13 * HOUR_MS);
    assert.deepEqual([store.restoredTo(0, Infinity), read(0)], [0, undefined]);
    assert.deepEqual([store.restoredTo(1, Infinity), read(1)], [43, 'left']);
  });

  it('is dropped when it holds records that its topic has lost', async () => {
    const [place, value] = [{ topic: 'table', partition: 0, timestamp: 0, traceparent: null }, Buffer.from('lost')];
    const changes = new Map([[0, new Map([['a', { ...place, key: 'a', value }]])]]);
    await store.stage(changes).write();
    await store.stage(changes).write();
    assert.deepEqual([store.restoredTo(0, 45), read(0)], [42, 'lost']); // two records, and the marker between them
    assert.deepEqual([store.restoredTo(0, 44), read(0)], [0, undefined]);
    assert.equal(store.restoredTo(0, 44), 0);
  });

  it('is dropped when its topic was created again and ends before it', async () => {
    assert.equal(await restore(0, 0), 0);
    assert.deepEqual([store.restoredTo(0, Infinity), read(0)], [0, undefined]);
    assert.deepEqual([store.restoredTo(1, Infinity), read(1)], [42, 'left']);
  });
});
