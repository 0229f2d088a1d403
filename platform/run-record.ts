/** Pid files: the process of each server of a data folder. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../runtime/replace-file.ts';
import { isProcessIdentity } from './lock.ts';
import { isAlive } from '../runtime/process-identity.ts';
import type { ProcessIdentity } from '../runtime/process-identity.ts';
import type { ServerName } from './server.ts';
import { folder, parseJson, readTextIfPresent } from './state.ts';

/** The pid file of a server (`<home>/run/<server>.json`). */
export interface RunRecord extends ProcessIdentity {
  /** The process that will stop it; null when it was started detached. */
  readonly owner: ProcessIdentity | null;
}

function recordFile(home: string, name: ServerName): string {
  return join(home, 'run', `${name}.json`);
}

/** Reads a pid file; undefined if there is none. The process may have ended. */
export async function readRunRecord(home: string, name: ServerName): Promise<RunRecord | undefined> {
  const value = parseJson((await readTextIfPresent(recordFile(home, name))) ?? '');
  if (!isProcessIdentity(value) || !('owner' in value)) return undefined;
  const { pid, startedAt, owner } = value;
  return { pid, startedAt, owner: isProcessIdentity(owner) ? owner : null };
}

/** Reads the pid file of a server that still runs: the same process, not another that got its pid. Undefined if it does not run. */
export async function readRunning(home: string, name: ServerName): Promise<RunRecord | undefined> {
  const record = await readRunRecord(home, name);
  return record !== undefined && (await isAlive(record)) ? record : undefined;
}

/** Writes a pid file, in one step. */
export async function writeRunRecord(home: string, name: ServerName, record: RunRecord): Promise<void> {
  await folder(home, 'run');
  await replaceFile(recordFile(home, name), JSON.stringify(record), 0o600);
}

/** Removes a pid file, if it exists. */
export async function removeRunRecord(home: string, name: ServerName): Promise<void> {
  await rm(recordFile(home, name), { force: true });
}
