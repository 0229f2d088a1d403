/**
 * A processor's tables on local disk: one LMDB environment per process, with one database per partition.
 * The compacted topic is the source of truth; this is a copy that reflects it up to a known offset and can be deleted.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { open } from 'lmdb';
import type { Database, RootDatabase } from 'lmdb';
import type { Logger } from 'pino';
import type { StateChanges, StateReader } from '../stream/batch.ts';
import { keepTouched, ownedName, ownershipOf, unownedName } from './folder-owner.ts';
import { reasonOf } from './reason.ts';

/**
 * A copy that was not kept current for longer than this is dropped: the broker may have compacted tombstones away
 * (delete.retention.ms, 24 h by default), and a deleted key would stay in the copy.
 */
const STALE_MS = 12 * 60 * 60 * 1000;
/**
 * An unused copy is emptied after this long, because it still holds conversations that were erased meanwhile. The hour more than `STALE_MS`
 * protects a copy that was just young enough to be used.
 */
const FORGET_MS = STALE_MS + 60 * 60 * 1000;

interface Marker {
  /** Everything before this offset of the table's topic is in the copy. */
  readonly restoredTo: number;
  /** The topic reaches at least this offset: it also holds what was written here after `restoredTo`, in transactions with a marker each. */
  readonly reaches: number;
  readonly at: number;
}

/** The tables of one processor. */
export interface StateStore {
  /**
   * The offset from which the table's topic must be read to make the partition current; the topic ends at `end`. Empties the copy if it was
   * not kept current for too long, or if the topic lost records that the copy holds, as in a power cut, or was recreated.
   */
  restoredTo(partition: number, end: number): number;
  /** Applies entries, and records that the topic was read up to `restoredTo`. */
  apply(partition: number, entries: Iterable<readonly [string, Buffer | null]>, restoredTo: number): void;
  /** Makes changes visible to the readers at once, before they are written. */
  stage(changes: StateChanges): StagedChanges;
  /**
   * Removes copies that are no longer kept current, here and in folders that other processes left. Call it regularly, with the partitions
   * in use.
   */
  sweep(owned: readonly number[]): Promise<void>;
  reader(partition: number): StateReader;
  close(): Promise<void>;
}

/** Changes that the readers already see. */
export interface StagedChanges {
  /** Writes them, on another thread. @throws Error with the folder and the cause, when the disk refuses them. */
  write(): Promise<void>;
}

/** Opens tables that an earlier process left in `folder`, or new ones, for exclusive use. */
export async function openStateStore(folder: string, log?: Logger): Promise<StateStore> {
  const { own, root } = await openEnvironment(folder, log);
  const stopTouching = keepTouched(() => [own]);
  const markers = root.openDB<Marker, number>({ name: 'markers', keyEncoding: 'uint32' });
  const tables = new Map<number, Database<Buffer, string>>();
  /** Oldest first. */
  const staged: StateChanges[] = [];
  let broken = false;

  function table(partition: number): Database<Buffer, string> {
    const known =
      tables.get(partition) ?? root.openDB<Buffer, string>({ name: `p${String(partition)}`, encoding: 'binary' });
    tables.set(partition, known);
    return known;
  }

  function mark(partition: number, restoredTo: number): void {
    const reaches = Math.max(restoredTo, markers.get(partition)?.reaches ?? 0);
    markers.putSync(partition, { restoredTo, reaches, at: Date.now() });
  }

  /** Counts the records that a transaction added to the topic. Its marker is counted with the next one, because Kafka may write it later. */
  function reachFurther(partition: number, records: number): void {
    const marker = markers.get(partition);
    if (!marker) return;
    const lastMarker = marker.reaches > marker.restoredTo ? 1 : 0;
    void markers.put(partition, { ...marker, reaches: marker.reaches + lastMarker + records });
  }

  function forget(except: readonly number[]): void {
    const old = [...markers.getRange()].filter(
      ({ key, value }) => Date.now() - value.at > FORGET_MS && !except.includes(key),
    );
    for (const { key } of old)
      root.transactionSync(() => {
        table(key).clearSync();
        markers.removeSync(key);
      });
  }
  forget([]);

  return {
    restoredTo(partition, end) {
      const marker = markers.get(partition);
      if (marker !== undefined && Date.now() - marker.at < STALE_MS && marker.reaches <= end) return marker.restoredTo;
      root.transactionSync(() => {
        table(partition).clearSync();
        markers.removeSync(partition);
        mark(partition, 0);
      });
      return 0;
    },
    apply(partition, entries, restoredTo) {
      root.transactionSync(() => {
        const db = table(partition);
        for (const [key, bytes] of entries) {
          if (bytes === null) db.removeSync(key);
          else db.putSync(key, bytes);
        }
        mark(partition, restoredTo);
      });
    },
    stage(changes) {
      staged.push(changes);
      return {
        async write() {
          const writing = root.batch(() => {
            for (const [partition, entries] of changes) {
              const db = table(partition);
              for (const [key, { value }] of entries) void (value === null ? db.remove(key) : db.put(key, value));
              reachFurther(partition, entries.size);
            }
          });
          await writing.catch(async (error: unknown) => {
            broken = true;
            throw await unwritable(own, error);
          });
          staged.splice(staged.indexOf(changes), 1);
        },
      };
    },
    async sweep(owned) {
      forget(owned);
      await leftIn(folder, log);
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
    async close() {
      if (!broken) await root.close(); // after a failure it would wait for ever
      stopTouching();
      // Leaves the folder to the next process, which may be in another container. The rename fails if another process took this one for ended.
      if (!broken) await rename(own, path.join(folder, unownedName())).catch(() => undefined);
      inUse.delete(own);
    },
  };
}

/** Opens the folder that `takeFolder` returns. A copy that can't be opened is deleted, and the next one is taken. */
async function openEnvironment(
  parent: string,
  log: Logger | undefined,
): Promise<{ readonly own: string; readonly root: RootDatabase }> {
  const own = await takeFolder(parent, log);
  const isNew = !existsSync(path.join(own, 'data.mdb'));
  try {
    // With batching by event turn, a commit has a second promise besides that of the batch, and its rejection would end the process.
    return { own, root: open({ path: own, noSubdir: false, maxDbs: 128, eventTurnBatching: false }) };
  } catch (cause) {
    inUse.delete(own);
    await rm(own, { recursive: true, force: true });
    if (isNew) throw cause;
    return openEnvironment(parent, log);
  }
}

/** lmdb-js gives the reason by a second promise, which is handled only here. */
async function unwritable(folder: string, error: unknown): Promise<Error> {
  const { commitError } = error as { readonly commitError?: Promise<never> };
  const cause = (await commitError?.catch((reason: unknown) => reason)) ?? error;
  return new Error(`The tables in ${folder} can't be written: ${reasonOf(cause)}. Is the disk full?`, { cause });
}

/** The environments that this process has open. */
const inUse = new Set<string>();
/** The folders that this process could not delete. */
const warnedOf = new Set<string>();

/**
 * Takes a folder in `parent` for exclusive use: one whose process is gone, the one last written to first, or a new one. The folder is
 * taken by renaming it, which succeeds in only one of several processes.
 *
 * Two processes never share an environment, although LMDB allows it: three processes that wrote to one through lmdb-js 3.5.6, and
 * were stopped and resumed, damaged its list of free pages within minutes.
 */
async function takeFolder(parent: string, log: Logger | undefined): Promise<string> {
  await mkdir(parent, { recursive: true });
  const own = path.join(parent, await ownedName());
  inUse.add(own);
  for (const left of await leftIn(parent, log)) {
    const now = new Date();
    try {
      await utimes(left, now, now); // processes in other pid namespaces must see that it has an owner
      await rename(left, own);
      return own;
    } catch {
      // another process was faster
    }
  }
  await mkdir(own);
  return own;
}

/**
 * Folders whose process is known to be gone, the one last written to first. Deletes folders that are too old to be useful, folders that are
 * not a copy, and folders that an owner in another pid namespace no longer touches. If that owner was only stopped, it continues with the
 * deleted files, which no other process can open.
 */
async function leftIn(parent: string, log: Logger | undefined): Promise<string[]> {
  const left: { readonly folder: string; readonly writtenAt: number }[] = [];
  for (const name of await readdir(parent)) {
    const folder = path.join(parent, name);
    const ownership = await ownershipOf(parent, name);
    if (inUse.has(folder) || ownership === 'alive') continue;
    const writtenAt = await lastWrite(folder);
    const useless = ownership === 'untouched' || ownership === 'no owner' || Date.now() - writtenAt > STALE_MS;
    if (useless)
      await rm(folder, { recursive: true, force: true }).catch((error: unknown) => warnOnceOf(folder, error, log));
    else if (ownership !== 'foreign') left.push({ folder, writtenAt });
  }
  return left.sort((a, b) => b.writtenAt - a.writtenAt).map(({ folder }) => folder);
}

function warnOnceOf(folder: string, error: unknown, log: Logger | undefined): void {
  if (warnedOf.has(folder)) return;
  warnedOf.add(folder);
  log?.warn(
    { folder, error: String(error) },
    "a folder among the processor's tables can not be deleted: it may be another user's",
  );
}

async function lastWrite(folder: string): Promise<number> {
  const data = stat(path.join(folder, 'data.mdb')).catch(() => stat(folder));
  return data.then(
    ({ mtimeMs }) => mtimeMs,
    () => Date.now(), // another process has taken it meanwhile
  );
}
