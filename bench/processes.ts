/** Components in processes of their own, and what each takes of the memory. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Stack } from '../test/integration/stack.ts';

/** The command, for whoever starts it. */
export const bin = path.join(import.meta.dirname, '..', 'bin', 'samvad.js');

/** `samvad run` of these components against the stack's servers, with `env` on top of the stack's. */
export function startProcess(
  stack: Stack,
  names: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const all = { ...process.env, ...stack.env, ...env };
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
  const peak = { own: 0, mapped: 0 };
  const look = async () => {
    const status = await readFile(`/proc/${String(pid)}/status`, 'utf8').catch(() => ''); // it may have ended
    const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    peak.own = Math.max(peak.own, kib('RssAnon'));
    peak.mapped = Math.max(peak.mapped, kib('RssFile'));
  };
  const timer = setInterval(() => void look(), 500);
  return { name, peak, end: () => clearInterval(timer) };
}

/** KiB as MiB. */
export function mib(kib: number): number {
  return Math.round(kib / 1024);
}
