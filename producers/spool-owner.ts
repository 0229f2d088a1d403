/**
 * Who a spool folder belongs to. The owner is in the folder's name, so that taking over an orphan is one rename: it
 * succeeds for one process only, and names the new owner in the same instant.
 */
import { randomUUID } from 'node:crypto';
import os from 'node:os';
import { identify } from '../platform/process.ts';

const SEPARATOR = '~';
const UNOWNED = 'free';
const UNKNOWN_START = 'unknown';

/** Whether a folder may be taken over; `foreign` belongs to another host, whose processes can't be seen from here. */
export type Ownership = 'ours' | 'orphaned' | 'alive' | 'foreign' | 'not a spool';

/** A fresh name for a folder of this process. */
export async function ownedName(): Promise<string> {
  return [await ownPrefix(), randomUUID()].join(SEPARATOR);
}

/** A fresh name for a folder that the next process may take over. */
export function unownedName(): string {
  return [UNOWNED, randomUUID()].join(SEPARATOR);
}

/** Who owns the folder of this name. */
export async function ownershipOf(name: string): Promise<Ownership> {
  const parts = name.split(SEPARATOR);
  if (parts.length === 2 && parts[0] === UNOWNED) return 'orphaned';
  const [host, pid, startedAt] = parts;
  if (parts.length !== 4 || host === undefined || startedAt === undefined || !/^\d+$/.test(pid ?? '')) {
    return 'not a spool';
  }
  if (host !== hostName()) return 'foreign';
  if (name.startsWith(`${await ownPrefix()}${SEPARATOR}`)) return 'ours';
  return (await runs(Number(pid), startedAt)) ? 'alive' : 'orphaned';
}

async function ownPrefix(): Promise<string> {
  return [hostName(), String(process.pid), (await startOf(process.pid)) ?? UNKNOWN_START].join(SEPARATOR);
}

/** The start time tells a process from a later one with the same pid. */
async function runs(pid: number, startedAt: string): Promise<boolean> {
  if (startedAt !== UNKNOWN_START) return (await startOf(pid)) === startedAt;
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return !(cause instanceof Error && 'code' in cause && cause.code === 'ESRCH');
  }
}

async function startOf(pid: number): Promise<string | undefined> {
  return (await identify(pid))?.startedAt.replaceAll(/[^A-Za-z0-9]/g, '.');
}

function hostName(): string {
  return os.hostname().replaceAll(/[^A-Za-z0-9.-]/g, '.');
}
