/** Components in processes of their own, and what each takes of the memory. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Stack } from '../test/integration/stack.ts';

/** The command, for whoever starts it. */
export const bin = path.join(import.meta.dirname, '..', 'bin', 'samvad.js');

/** `samvad run` of these components against the stack's servers, with `env` on top of the stack's and malloc as in the image. */
export function startProcess(
  stack: Stack,
  names: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const all = { ...process.env, MALLOC_ARENA_MAX: '2', ...stack.env, ...env };
  return spawn(process.execPath, [bin, 'run', ...names], { env: all, stdio: 'ignore' });
}

/** Ends it as an operator would. */
export async function stopProcess(worker: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  if (worker.exitCode === null && worker.kill('SIGTERM')) await ended;
}

/** What a process took since the last look at `peak`, or since the start. */
export interface Watch {
  readonly name: string;
  /** In KiB; whoever sets it to zero begins a new stretch. */
  readonly peak: { own: number; mapped: number };
  readonly end: () => void;
}

/** Looks twice a second at RssAnon and RssFile of proc(5). */
export function watch(name: string, pid: number | undefined): Watch {
  return watchAll(name, () => Promise.resolve([String(pid)]));
}

/** The same for all processes that the main thread of `pid` has started, together. */
export function watchChildren(name: string, pid: number | undefined): Watch {
  return watchAll(name, () => childrenOf(pid));
}

/** Ids of the processes that the main thread of `pid` has started and that have not ended. */
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

/** A file of proc(5); empty when its process has ended. */
export function readProc(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}

/** KiB as MiB. */
export function mib(kib: number): number {
  return Math.round(kib / 1024);
}
