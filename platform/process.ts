/** Starting and ending processes of the operating system. */
import { execFile, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isAlive } from '../runtime/process-identity.ts';
import type { ProcessIdentity } from '../runtime/process-identity.ts';
import { signalProcess } from '../runtime/signal-process.ts';
import type { Launch } from './server.ts';

/** How a process ended. */
export type ProcessEnd = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** Ends a process with `signal`, and with SIGKILL after `graceMs`. Returns once it has ended; false when SIGKILL was needed. */
export async function endProcess(identity: ProcessIdentity, signal: NodeJS.Signals, graceMs: number): Promise<boolean> {
  if (!(await isAlive(identity))) return true;
  signalProcess(identity.pid, signal);
  if (await hasEndedWithin(identity, graceMs)) return true;
  signalProcess(identity.pid, 'SIGKILL');
  await hasEndedWithin(identity, graceMs);
  return false;
}

async function hasEndedWithin(identity: ProcessIdentity, milliseconds: number): Promise<boolean> {
  const deadline = performance.now() + milliseconds;
  while (await isAlive(identity)) {
    if (performance.now() > deadline) return false;
    await sleep(25);
  }
  return true;
}

/**
 * Runs a program to its end, or for `timeoutMs`, and returns its exit code (-1: not found, not startable or out of time) with
 * stdout and stderr together.
 */
export function runProgram(
  command: string,
  args: readonly string[],
  options: Partial<Pick<Launch, 'cwd' | 'account' | 'env'>> & {
    readonly timeoutMs?: number;
    /** Ends the program. */
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<{ readonly code: number; readonly output: string }> {
  const { cwd, account, timeoutMs: timeout, signal } = options;
  const env = { ...process.env, ...options.env };
  return new Promise((resolve) => {
    execFile(
      command,
      args,
      { cwd, env, ...account, timeout, signal, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const failure = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code: failure, output: `${stdout}${stderr}${failure === -1 ? (error?.message ?? '') : ''}` });
      },
    );
  });
}

/** A server process just started. */
export interface SpawnedServer {
  readonly identity: ProcessIdentity;
  readonly ended: Promise<ProcessEnd>;
}

/**
 * Starts a server with its output appended to a log file. It gets a separate process group, so that Ctrl-C in a
 * terminal reaches only the parent and servers stop in order. It does not keep the parent's event loop alive.
 * Rejects when the program can't be started.
 */
export async function spawnServer(launch: Launch, logFile: string): Promise<SpawnedServer> {
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(launch.command, launch.args, {
    cwd: launch.cwd,
    env: { ...process.env, ...launch.env },
    detached: true,
    stdio: ['ignore', log, log],
    ...launch.account,
  });
  closeSync(log);
  const ended = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => {
      resolve(child.pid ?? -1);
    });
  });
  child.unref();
  // A process that has already ended has no start time. The pid of an unreaped child can't be reused.
  return { identity: (await identify(pid)) ?? { pid, startedAt: 'ended at once' }, ended };
}
