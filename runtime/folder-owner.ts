/**
 * Which process owns a folder of the spool, of a data set, or of a processor's tables. The owner is part of the folder's name, so that an
 * orphan is taken over by one rename: it succeeds for only one process, and names the new owner at the same moment.
 *
 * Containers may share a host name and a volume without seeing each other's processes. So the name also holds the owner's pid namespace
 * (pid_namespaces(7)). Owners touch their folders: whether an owner in another namespace is alive shows in the folder's modification time.
 */
import { randomUUID } from 'node:crypto';
import { readlink, stat, utimes } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { identify } from './process-identity.ts';
import { isErrorCode } from './reason.ts';

const SEPARATOR = '~';
const UNOWNED = 'free';
const UNKNOWN_START = 'unknown';
/** How often an owner touches its folders, and after how long without a touch an owner in another pid namespace counts as gone. */
const TOUCH_MS = 10_000;
const UNTOUCHED_MS = 60_000;

/**
 * Whether a folder may be taken over. The owner of an `orphaned` folder has ended. The owner of an `untouched` folder is in another pid
 * namespace, and is stopped or has ended. A `foreign` folder belongs to another host, whose processes can't be seen from here.
 */
export type Ownership = 'ours' | 'orphaned' | 'untouched' | 'alive' | 'foreign' | 'no owner';

/** A fresh name for a folder of this process. */
export async function ownedName(): Promise<string> {
  return [await ownProcess(), await ownNamespace(), randomUUID()].join(SEPARATOR);
}

/** A fresh name for a folder that the next process may take over. */
export function unownedName(): string {
  return [UNOWNED, randomUUID()].join(SEPARATOR);
}

/** Who owns the folder `name` in `parent`. */
export async function ownershipOf(parent: string, name: string): Promise<Ownership> {
  const parts = name.split(SEPARATOR);
  if (parts.length === 2 && parts[0] === UNOWNED) return 'orphaned';
  const [host, pid, startedAt, namespace] = parts;
  if (parts.length !== 5 || host === undefined || startedAt === undefined || !/^\d+$/.test(pid ?? ''))
    return 'no owner';
  if (host !== hostName()) return 'foreign';
  if (namespace !== (await ownNamespace())) return (await untouched(path.join(parent, name))) ? 'untouched' : 'alive';
  if ([host, pid, startedAt].join(SEPARATOR) === (await ownProcess())) return 'ours';
  return (await runs(Number(pid), startedAt)) ? 'alive' : 'orphaned';
}

/** Touches these folders, so that processes in other pid namespaces see that the owner is alive, until the returned function is called. */
export function keepTouched(folders: () => Iterable<string>): () => void {
  const touching = setInterval(() => {
    const now = new Date();
    for (const folder of folders()) utimes(folder, now, now).catch(() => undefined); // it may have been removed meanwhile
  }, TOUCH_MS).unref();
  return () => clearInterval(touching);
}

async function ownProcess(): Promise<string> {
  return [hostName(), String(process.pid), (await startOf(process.pid)) ?? UNKNOWN_START].join(SEPARATOR);
}

/** The number of this process's pid namespace; 0 on a system without namespaces, where all processes see each other. */
async function ownNamespace(): Promise<string> {
  const link = await readlink('/proc/self/ns/pid').catch(() => '');
  return link.replaceAll(/\D/g, '') || '0';
}

async function untouched(folder: string): Promise<boolean> {
  const known = await stat(folder).catch(() => undefined); // undefined: another process has taken it
  return known !== undefined && Date.now() - known.mtimeMs > UNTOUCHED_MS;
}

/** The start time distinguishes a process from a later one with the same pid. */
async function runs(pid: number, startedAt: string): Promise<boolean> {
  if (startedAt !== UNKNOWN_START) return (await startOf(pid)) === startedAt;
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return !isErrorCode(cause, 'ESRCH');
  }
}

async function startOf(pid: number): Promise<string | undefined> {
  return (await identify(pid))?.startedAt.replaceAll(/[^A-Za-z0-9]/g, '.');
}

function hostName(): string {
  return os.hostname().replaceAll(/[^A-Za-z0-9.-]/g, '.');
}
