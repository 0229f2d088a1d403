/** Which process is which server of a data folder: pid files. */
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
  /** The process that will stop it; null if it was started to outlive its starter. */
  readonly owner: ProcessIdentity | null;
}

function recordFile(home: string, name: ServerName): string {
  return join(home, 'run', `${name}.json`);
}

/** Reads a pid file; undefined if there is none. The process in it may have ended long ago. */
export async function readRunRecord(home: string, name: ServerName): Promise<RunRecord | undefined> {
  const value = parseJson((await readTextIfPresent(recordFile(home, name))) ?? '');
  if (!isProcessIdentity(value) || !('owner' in value)) return undefined;
  const { pid, startedAt, owner } = value;
  return { pid, startedAt, owner: isProcessIdentity(owner) ? owner : null };
}

/** Writes a pid file, in one step. */
export async function writeRunRecord(home: string, name: ServerName, record: RunRecord): Promise<void> {
  await folder(home, 'run');
  await replaceFile(recordFile(home, name), JSON.stringify(record), 0o600);
}

/** Removes a pid file; none is no error. */
export async function removeRunRecord(home: string, name: ServerName): Promise<void> {
  await rm(recordFile(home, name), { force: true });
}

/** Whether the recorded server still runs: the same process, not another that got its pid. */
export async function isRunning(record: RunRecord | undefined): Promise<boolean> {
  return record !== undefined && (await isAlive(record));
}
