/**
 * A trainer of somebody else's, as a command: JSONL in, ONNX out. For what needs a GPU, such as fine-tuning IndicBERT.
 * docs/training.md has the contract.
 */
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { labelName } from './classifier.ts';
import { checkModel } from './onnx-reader.ts';
import type { Sample } from './split.ts';
import { TrainingError } from './train.ts';

/** What an external trainer is given. */
export interface ExternalTraining {
  /** Program and arguments; `--train F --dev F --manifest F --output F` follow them. No shell is between. */
  readonly command: readonly [program: string, ...args: string[]];
  readonly train: readonly Sample[];
  readonly dev: readonly Sample[];
  /** The data set's manifest; the trainer copies it to the file's `samvad.manifest`. */
  readonly manifest: unknown;
  /** An empty folder for the files in and out. */
  readonly folder: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Gets the lines that the command writes to its error output. */
  readonly onLine?: (line: string) => void;
}

/** Last lines of a failed command that go into the error. */
const LINES_KEPT = 20;

/**
 * Runs the command and returns the file it made, checked but not yet loaded.
 * @throws TrainingError when the command fails, takes too long, leaves no file or one with other intents; ModelRefused
 * when the file is not to be run; the signal's reason when it was aborted.
 */
export async function trainExternally(training: ExternalTraining): Promise<Buffer> {
  const { folder, train, dev } = training;
  await mkdir(folder, { recursive: true });
  const files = {
    train: path.join(folder, 'train.jsonl'),
    dev: path.join(folder, 'dev.jsonl'),
    manifest: path.join(folder, 'manifest.json'),
    output: path.join(folder, 'model.onnx'),
  };
  await writeFile(files.train, jsonLines(train));
  await writeFile(files.dev, jsonLines(dev));
  await writeFile(files.manifest, JSON.stringify(training.manifest));
  const [program, ...args] = training.command;
  await runCommand(
    program,
    [...args, ...Object.entries(files).flatMap(([name, file]) => [`--${name}`, file])],
    training,
  );
  const bytes = await readFile(files.output).catch((cause: unknown) => {
    throw new TrainingError(`${program} ended well but left no file at ${files.output}.`, { cause });
  });
  const known = new Set(checkModel(bytes).metadata.labels.map(labelName));
  const lost = [...new Set(train.map(labelName))].filter((name) => !known.has(name));
  if (lost.length > 0)
    throw new TrainingError(
      `The model of ${program} does not know ${lost.length} of the intents, among them ${lost[0] ?? ''}.`,
    );
  return bytes;
}

function jsonLines(rows: readonly Sample[]): string {
  return rows
    .map(
      ({ text, intent, module, language, source }) => `${JSON.stringify({ text, intent, module, language, source })}\n`,
    )
    .join('');
}

async function runCommand(program: string, args: readonly string[], training: ExternalTraining): Promise<void> {
  const { signal, timeoutMs } = training;
  signal?.throwIfAborted();
  const timeout = AbortSignal.timeout(timeoutMs);
  // A group of its own, so that what it starts (a launcher's workers on the GPUs) ends with it.
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  const ending = signal ? AbortSignal.any([signal, timeout]) : timeout;
  const end = () => killGroup(child.pid);
  ending.addEventListener('abort', end, { once: true });
  const lines: string[] = [];
  let rest = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = (parts.pop() ?? '').slice(-10_000);
    lines.push(...parts);
    lines.splice(0, lines.length - LINES_KEPT);
    for (const line of parts) training.onLine?.(line);
  });
  const said = () => (lines.length + rest.length > 0 ? ` It said:\n${[...lines, rest].join('\n')}` : '');
  await new Promise<void>((resolve, reject) => {
    child.on('error', (cause) => {
      reject(new TrainingError(`${program} can't be started: ${cause.message}.`, { cause }));
    });
    child.on('close', (code, killedBy) => {
      const failed = new TrainingError(`${program} failed with ${killedBy ?? `code ${code ?? 'none'}`}.${said()}`);
      if (code === 0) resolve();
      else if (signal?.aborted === true) reject(signal.reason instanceof Error ? signal.reason : failed);
      else if (timeout.aborted)
        reject(new TrainingError(`${program} was still running after ${timeoutMs / 1000} s.${said()}`));
      else reject(failed);
    });
  }).finally(() => ending.removeEventListener('abort', end));
}

/** Ends a process that leads a group, and all of the group. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return; // it could not be started
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // else it has ended by itself
  }
}
