/** Locks between processes of one machine, as files. */
import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isAlive } from '../runtime/process-identity.ts';
import type { ProcessIdentity } from '../runtime/process-identity.ts';
import { isErrorCode } from '../runtime/reason.ts';
import { parseJson, readTextIfPresent } from './state.ts';

/** Whether a value read from a file names a process. */
export function isProcessIdentity(value: unknown): value is ProcessIdentity {
  return (
    typeof value === 'object' &&
    value !== null &&
    'pid' in value &&
    Number.isInteger(value.pid) &&
    'startedAt' in value &&
    typeof value.startedAt === 'string'
  );
}

/** The identity of this process. */
export async function thisProcess(): Promise<ProcessIdentity> {
  return (await identify(process.pid)) ?? { pid: process.pid, startedAt: 'unknown' };
}

/**
 * Runs `work` while holding the lock file `path`, waiting for another process that holds it (`onWait` is told once)
 * until `signal` is aborted. The lock of a process that no longer runs is taken over.
 */
export async function withLock<T>(
  path: string,
  onWait: (holder: number) => void,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const claim = `${path}.${randomUUID()}`;
  await writeFile(claim, JSON.stringify(await thisProcess()));
  try {
    for (let waiting = false; !(await isLinked(claim, path)); waiting = true) {
      const text = await readTextIfPresent(path);
      if (text === undefined) continue;
      const holder = parseJson(text);
      if (!isProcessIdentity(holder) || !(await isAlive(holder))) {
        await takeAway(path, text, claim);
        continue;
      }
      if (!waiting) onWait(holder.pid);
      await sleep(200);
      signal?.throwIfAborted();
    }
  } finally {
    await rm(claim, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

/** Takes the lock `stale` away; what somebody else has put into its place since it was read is put back. */
async function takeAway(path: string, stale: string, claim: string): Promise<void> {
  const taken = `${claim}.taken`;
  try {
    await rename(path, taken);
    if ((await readFile(taken, 'utf8')) !== stale) await isLinked(taken, path);
  } catch (cause) {
    if (!isErrorCode(cause, 'ENOENT')) throw cause; // somebody else took it away
  } finally {
    await rm(taken, { force: true });
  }
}

/** A hard link appears with its content or not at all, so nobody ever reads a half-written lock. */
async function isLinked(claim: string, path: string): Promise<boolean> {
  try {
    await link(claim, path);
    return true;
  } catch (cause) {
    if (isErrorCode(cause, 'EEXIST')) return false;
    throw cause;
  }
}
