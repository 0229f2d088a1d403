/** Runs of one script with different arguments, each a process of its own, several at once. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * What `script` of this folder prints for each list of arguments, parsed as JSON, in their order; `jobs` run at once.
 * @throws what the first failed run wrote to its error output.
 */
export async function runJobs<T>(
  script: string,
  argLists: readonly (readonly string[])[],
  jobs: number,
  onResult: (result: T, args: readonly string[]) => void = () => undefined,
): Promise<readonly T[]> {
  const results: T[] = [];
  const waiting = argLists.entries(); // shared: each worker takes the next
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
