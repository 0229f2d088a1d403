/** Process groups: a program and the processes that it started. */
import { isErrorCode } from './reason.ts';

/** Kills all processes of a group that still run. */
export function killGroup(group: number | undefined): void {
  if (group === undefined) return;
  try {
    process.kill(-group, 'SIGKILL');
  } catch (error) {
    if (!isErrorCode(error, 'ESRCH')) throw error;
  }
}
