/**
 * A processor's tables on local disk: one LMDB environment a processor, one database a partition.
 * The compacted topic is the truth; this is a copy that reflects it up to a known offset, and can be thrown away.
 */
import { mkdirSync } from 'node:fs';
import { open } from 'lmdb';
import type { Database, RootDatabase } from 'lmdb';
import type { StateReader } from '../stream/batch.ts';

/**
 * A copy that was not kept up for longer than this is dropped: the broker may have compacted tombstones away
 * (delete.retention.ms, 24 h), and a deleted key would live on here.
 */
const STALE_MS = 12 * 60 * 60 * 1000;

/** Another process took the partition over; this one must not write to its table any more. */
export class Fenced extends Error {}

interface Marker {
  readonly owner: string;
  /** Offset of the table's topic up to which everything is in here. */
  readonly restoredTo: number;
  readonly at: number;
}

/** The tables of one processor. */
export interface StateStore {
  /** Takes the partition over from whoever had it, and tells from which offset its topic must be read to be up to date. */
  claim(partition: number): number;
  /** Applies entries and, where given, records that the topic was read up to `restoredTo`. Throws Fenced. */
  apply(partition: number, entries: Iterable<readonly [string, Buffer | null]>, restoredTo?: number): void;
  /** Forgets the copy of a partition, which then is to be read from offset 0. */
  reset(partition: number): void;
  reader(partition: number): StateReader;
  close(): Promise<void>;
}

/** Opens the tables in `folder`. `owner` must differ between processes and sessions. */
export function openStateStore(folder: string, owner: string): StateStore {
  mkdirSync(folder, { recursive: true });
  const root: RootDatabase = open({ path: folder, maxDbs: 128 });
  const markers = root.openDB<Marker, number>({ name: 'markers', keyEncoding: 'uint32' });
  const tables = new Map<number, Database<Buffer, string>>();

  function table(partition: number): Database<Buffer, string> {
    const known =
      tables.get(partition) ?? root.openDB<Buffer, string>({ name: `p${String(partition)}`, encoding: 'binary' });
    tables.set(partition, known);
    return known;
  }

  function owned(partition: number): Marker {
    const marker = markers.get(partition);
    if (marker?.owner !== owner)
      throw new Fenced(`Partition ${String(partition)} of ${folder} was taken over by another process.`);
    return marker;
  }

  return {
    claim(partition) {
      return root.transactionSync(() => {
        const marker = markers.get(partition);
        const fresh = marker !== undefined && Date.now() - marker.at < STALE_MS;
        if (!fresh) table(partition).clearSync();
        const restoredTo = fresh ? marker.restoredTo : 0;
        markers.putSync(partition, { owner, restoredTo, at: Date.now() });
        return restoredTo;
      });
    },
    apply(partition, entries, restoredTo) {
      root.transactionSync(() => {
        const marker = owned(partition);
        const db = table(partition);
        for (const [key, bytes] of entries) {
          if (bytes === null) db.removeSync(key);
          else db.putSync(key, bytes);
        }
        if (restoredTo !== undefined) markers.putSync(partition, { ...marker, restoredTo, at: Date.now() });
      });
    },
    reset(partition) {
      root.transactionSync(() => {
        owned(partition);
        table(partition).clearSync();
        markers.putSync(partition, { owner, restoredTo: 0, at: Date.now() });
      });
    },
    reader(partition) {
      const db = table(partition);
      return { get: (key) => db.get(key) };
    },
    close: () => root.close(),
  };
}
