/**
 * A processor's tables on local disk: one LMDB environment in each process, one database a partition in it.
 * The compacted topic is the truth; this is a copy that reflects it up to a known offset, and can be thrown away.
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
 * A copy that was not kept up for longer than this is dropped: the broker may have compacted tombstones away
 * (delete.retention.ms, 24 h by default), and a deleted key would live on here.
 */
const STALE_MS = 12 * 60 * 60 * 1000;
/** After this long a copy that is not used is forgotten, because what was erased meanwhile is still in it. One that was just fit for use is safe. */
const FORGET_MS = STALE_MS + 60 * 60 * 1000;

interface Marker {
  /** Offset of the table's topic up to which everything is in here. */
  readonly restoredTo: number;
  /** Offset that the topic has come to at the least: what was written here since is in it, in transactions with a marker each. */
  readonly reaches: number;
  readonly at: number;
}

/** The tables of one processor. */
export interface StateStore {
  /**
   * From which offset the topic of the partition's table, which ends at `end`, must be read to be up to date. The copy is forgotten when
   * nobody has kept it up, or when the topic has lost what it holds, as after a power cut, or was made anew.
   */
  restoredTo(partition: number, end: number): number;
  /** Applies entries and, where given, records that the topic was read up to `restoredTo`. */
  apply(partition: number, entries: Iterable<readonly [string, Buffer | null]>, restoredTo?: number): void;
  /** Shows changes to the readers from now on, before they are written. */
  stage(changes: StateChanges): StagedChanges;
  /** Forgets, here and in what others have left, copies that nobody keeps up any more. Call it every now and then, with the partitions in use. */
  sweep(owned: readonly number[]): Promise<void>;
  reader(partition: number): StateReader;
  close(): Promise<void>;
}

/** Changes that the readers see already. */
export interface StagedChanges {
  /** Writes them, on another thread. @throws Error with the folder and the cause, when the disk does not take them. */
  write(): Promise<void>;
}

/** Opens the tables that a process has left in `folder`, or new ones. Whoever opens them has them alone. */
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

  /** Notes by how much the topic has grown with the changes of one transaction; Kafka may write its marker a moment later. */
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
        if (restoredTo !== undefined) mark(partition, restoredTo);
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
      // For the next process, which may be in another container; where another one has taken this one for ended, the folder is gone.
      if (!broken) await rename(own, path.join(folder, unownedName())).catch(() => undefined);
      inUse.delete(own);
    },
  };
}

/** Opens a folder that `takeFolder` gives. A copy that can't be opened is deleted, and the next one taken. */
async function openEnvironment(
  parent: string,
  log: Logger | undefined,
): Promise<{ readonly own: string; readonly root: RootDatabase }> {
  const own = await takeFolder(parent, log);
  const isNew = !existsSync(path.join(own, 'data.mdb'));
  try {
    // Without batching by event turn, the only promise of a commit is that of the batch: another one would end the process when it fails.
    return { own, root: open({ path: own, noSubdir: false, maxDbs: 128, eventTurnBatching: false }) };
  } catch (cause) {
    inUse.delete(own);
    await rm(own, { recursive: true, force: true });
    if (isNew) throw cause;
    return openEnvironment(parent, log);
  }
}

/** LMDB tells why by a second promise, which nobody else holds. */
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
 * A folder in `parent` that nobody else has: one whose process is gone, the one last written to first, or a new one. It is taken
 * by renaming it, which of several processes one alone succeeds in.
 *
 * Two processes never share an environment, although LMDB allows for it: three that wrote to one through lmdb-js 3.5.6, and were
 * stopped and let go on, damaged its list of free pages within minutes.
 */
async function takeFolder(parent: string, log: Logger | undefined): Promise<string> {
  await mkdir(parent, { recursive: true });
  const own = path.join(parent, await ownedName());
  inUse.add(own);
  for (const left of await leftIn(parent, log)) {
    const now = new Date();
    try {
      await utimes(left, now, now); // who can't see this process must see that it has an owner
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
 * Folders whose process is known to be gone, the one last written to first. Deletes what is too old to be of use, what is no such folder, and
 * what seems to be gone where nobody can see: who only stood still goes on with files that have no name any more, and shares them with nobody.
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
