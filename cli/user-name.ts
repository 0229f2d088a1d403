import os from 'node:os';

/** Who types, for the record. In a container an account may have no name, and then it is its number. */
export function userName(): string {
  try {
    return os.userInfo().username;
  } catch {
    return `uid ${String(process.getuid?.())}`;
  }
}
