/** Runs components in their own processes, and measures the memory of each. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Stack } from '../test/integration/stack.ts';

/** The path of the `samvad` command. */
export const bin = path.join(import.meta.dirname, '..', 'bin', 'samvad.js');

/** Starts `samvad run` with these components on the stack's servers. `env` overrides the stack's environment; malloc is set as in the image. */
export function startProcess(
  stack: Stack,
  names: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const all = { ...process.env, MALLOC_ARENA_MAX: '2', ...stack.env, ...env };
  return spawn(process.execPath, [bin, 'run', ...names], { env: all, stdio: 'ignore' });
}

/** Ends the process as an operator would, with SIGTERM. */
export async function stopProcess(worker: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  if (worker.exitCode === null && worker.kill('SIGTERM')) await ended;
}

/** Peak memory of a process since its start, or since `peak` was last set to zero. */
export interface Watch {
  readonly name: string;
  /** In KiB. Set it to zero to begin a new interval. */
  readonly peak: { own: number; mapped: number };
  readonly end: () => void;
}

/** Reads RssAnon and RssFile of proc(5) twice a second. */
export function watch(name: string, pid: number | undefined): Watch {
  return watchAll(name, () => Promise.resolve([String(pid)]));
}

/** The same for the sum over all processes that the main thread of `pid` has started. */
export function watchChildren(name: string, pid: number | undefined): Watch {
  return watchAll(name, () => childrenOf(pid));
}

/** Ids of the running processes that the main thread of `pid` has started. */
export async function childrenOf(pid: number | undefined): Promise<readonly string[]> {
  return (await readProc(`/proc/${pid}/task/${pid}/children`)).split(' ').filter(Boolean);
}

function watchAll(name: string, pids: () => Promise<readonly string[]>): Watch {
  const peak = { own: 0, mapped: 0 };
  const look = async () => {
    const statuses = await Promise.all((await pids()).map((pid) => readProc(`/proc/${pid}/status`)));
    const kib = (field: string) =>
      statuses.reduce((sum, status) => sum + Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0), 0);
    peak.own = Math.max(peak.own, kib('RssAnon'));
    peak.mapped = Math.max(peak.mapped, kib('RssFile'));
  };
  const timer = setInterval(() => void look(), 500);
  return { name, peak, end: () => clearInterval(timer) };
}

/** The content of a file of proc(5); empty when its process has ended. */
export function readProc(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}

/** Converts KiB to MiB, rounded. */
export function mib(kib: number): number {
  return Math.round(kib / 1024);
}
