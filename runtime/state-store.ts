/**
 * A processor's tables on local disk: one LMDB environment a processor, one database a partition.
 * The compacted topic is the truth; this is a copy that reflects it up to a known offset, and can be thrown away.
 */
import { randomInt } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open } from 'lmdb';
import type { Database, RootDatabase } from 'lmdb';
import type { StateChanges, StateReader } from '../stream/batch.ts';

/**
 * A copy that was not kept up for longer than this is dropped: the broker may have compacted tombstones away
 * (delete.retention.ms, 24 h by default), and a deleted key would live on here.
 */
const STALE_MS = 12 * 60 * 60 * 1000;

/** Another process took the partition over; this one must not write to its table any more. */
export class Fenced extends Error {}

/** Stored with the owner's number as its version, which every write demands. */
interface Marker {
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
  /** Shows changes to the readers from now on, before they are written. */
  stage(changes: StateChanges): StagedChanges;
  /** Forgets the copy of a partition, which then is to be read from offset 0. */
  reset(partition: number): void;
  reader(partition: number): StateReader;
  close(): Promise<void>;
}

/** Changes that the readers see already. */
export interface StagedChanges {
  /** Writes them, on another thread. Rejects with Fenced. */
  write(): Promise<void>;
}

/** Opens the tables in `folder`. Whoever opens them is another owner, in the same process too. */
export function openStateStore(folder: string): StateStore {
  mkdirSync(folder, { recursive: true });
  const owner = randomInt(1, 2 ** 48 - 1);
  const root: RootDatabase = open({ path: folder, maxDbs: 128 });
  const markers = root.openDB<Marker, number>({ name: 'owners', keyEncoding: 'uint32', useVersions: true });
  const tables = new Map<number, Database<Buffer, string>>();
  /** Oldest first. */
  const staged: StateChanges[] = [];

  function table(partition: number): Database<Buffer, string> {
    const known =
      tables.get(partition) ?? root.openDB<Buffer, string>({ name: `p${String(partition)}`, encoding: 'binary' });
    tables.set(partition, known);
    return known;
  }

  function fenced(partition: number): Fenced {
    return new Fenced(`Partition ${String(partition)} of ${folder} was taken over by another process.`);
  }

  function demandOwned(partition: number): void {
    if (markers.getEntry(partition)?.version !== owner) throw fenced(partition);
  }

  function mark(partition: number, restoredTo: number): void {
    markers.putSync(partition, { restoredTo, at: Date.now() }, owner);
  }

  return {
    claim(partition) {
      return root.transactionSync(() => {
        const marker = markers.get(partition);
        const fresh = marker !== undefined && Date.now() - marker.at < STALE_MS;
        if (!fresh) table(partition).clearSync();
        const restoredTo = fresh ? marker.restoredTo : 0;
        mark(partition, restoredTo);
        return restoredTo;
      });
    },
    apply(partition, entries, restoredTo) {
      root.transactionSync(() => {
        demandOwned(partition);
        const db = table(partition);
        for (const [key, bytes] of entries) {
          if (bytes === null) db.removeSync(key);
          else db.putSync(key, bytes);
        }
        if (restoredTo !== undefined) mark(partition, restoredTo);
      });
    },
    stage(changes) {
      staged.push(changes);
      return {
        async write() {
          const writes = [...changes].map(async ([partition, entries]) => {
            const db = table(partition);
            // The condition is checked in the transaction that writes: another owner may have come meanwhile.
            const written = await markers.ifVersion(partition, owner, () => {
              for (const [key, { value }] of entries) void (value === null ? db.remove(key) : db.put(key, value));
            });
            if (!written) throw fenced(partition);
          });
          await Promise.all(writes);
          staged.splice(staged.indexOf(changes), 1);
        },
      };
    },
    reset(partition) {
      root.transactionSync(() => {
        demandOwned(partition);
        table(partition).clearSync();
        mark(partition, 0);
      });
    },
    reader(partition) {
      const db = table(partition);
      return {
        get(key) {
          for (let i = staged.length - 1; i >= 0; i--) {
            const entry = staged[i]?.get(partition)?.get(key);
            if (entry) return entry.value ?? undefined;
          }
          return db.get(key);
        },
      };
    },
    close: () => root.close(),
  };
}
