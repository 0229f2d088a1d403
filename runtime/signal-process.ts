/** Signals to processes, and to process groups: a program and the processes that it started. */
import { isErrorCode } from './reason.ts';

/** Sends a signal; to a group if the pid is negative. That the process has just ended is not an error. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (cause) {
    if (!isErrorCode(cause, 'ESRCH')) throw cause;
  }
}

/** Kills all processes of a group that still run. */
export function killGroup(group: number | undefined): void {
  if (group !== undefined) signalProcess(-group, 'SIGKILL');
}
