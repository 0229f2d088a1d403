import os from 'node:os';

/** The name of the current user, or the number of an account without a name, which occurs in containers. */
export function userName(): string {
  try {
    return os.userInfo().username;
  } catch {
    return `uid ${String(process.getuid?.())}`;
  }
}
