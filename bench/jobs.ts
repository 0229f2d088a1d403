/** Runs a script with different arguments, each run in its own process, several at once. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Runs `script` of this folder with each list of arguments, `jobs` at once. Returns the outputs, parsed as JSON, in the order of
 * the lists. @throws when a run fails; the message contains its stderr.
 */
export async function runJobs<T>(
  script: string,
  argLists: readonly (readonly string[])[],
  jobs: number,
  onResult: (result: T, args: readonly string[]) => void = () => undefined,
): Promise<readonly T[]> {
  const results: T[] = [];
  const waiting = argLists.entries(); // shared by the workers: each takes the next entry
  const work = async () => {
    for (const [i, args] of waiting) {
      const options = { maxBuffer: 2 ** 26 };
      const file = path.join(import.meta.dirname, script);
      const { stdout } = await run(process.execPath, ['--import', 'tsx', file, ...args], options);
      const result = JSON.parse(stdout) as T;
      results[i] = result;
      onResult(result, args);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return results;
}
