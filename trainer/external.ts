/**
 * Runs an external training program as a command: JSONL in, ONNX out. For training that needs a GPU, such as
 * fine-tuning IndicBERT. docs/training.md has the contract.
 */
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { programEnvironment } from '../config.ts';
import type { TrainerProgram } from '../config.ts';
import { killGroup } from '../runtime/signal-process.ts';
import { reasonOf } from '../runtime/reason.ts';
import { noRoom, openDataSetFolder } from './data-set/data-set-folder.ts';
import { labelName } from './learning/classifier.ts';
import type { EncoderPlaces } from './learning/encoder.ts';
import { loadModel } from './learning/model.ts';
import { checkModel, ModelRefused } from './learning/onnx-reader.ts';
import type { Sample } from './learning/split.ts';
import { TrainingError } from './learning/train.ts';

/** The input of an external training program. */
export interface ExternalTraining {
  /** `--train F --dev F --manifest F --output F` are appended to its arguments. No shell is involved. */
  readonly program: TrainerProgram;
  readonly train: readonly Sample[];
  readonly dev: readonly Sample[];
  /** The data set's manifest. The program must copy it to the model file's `samvad.manifest`. */
  readonly manifest: unknown;
  /** Its files are kept in a subfolder of this folder. */
  readonly folder: string;
  /** Folders for an encoder that the model file names. */
  readonly places: EncoderPlaces;
}

/** Callbacks and the signal for an external training program. */
export interface ExternalControl {
  readonly signal?: AbortSignal;
  /** Receives each line that the command writes to stderr. */
  readonly onLine?: (line: string) => void;
  /** Called with the command's process group when it has started, and with undefined when it has ended. */
  readonly onGroup?: (group: number | undefined) => void;
}

/** The last lines of stderr that go into the error of a failed command, and the most characters kept of each. */
const LINES_KEPT = 20;
const MAX_LINE = 500;
/**
 * Output is read for at most this long after the command has ended, because a process that it left running may hold the
 * pipe.
 */
const DRAIN_MS = 1000;
/** The number of rows whose answers are checked. */
const CHECKED_ROWS = 256;

/**
 * Runs the command and returns the model file, after loading it and checking its answers.
 * @throws TrainingError when the disk can't take the rows, or the command fails, takes too long, or leaves no file or
 * one for other data. @throws ModelRefused when the file must not be served. @throws the signal's reason when aborted.
 */
export async function trainExternally(training: ExternalTraining, control: ExternalControl = {}): Promise<Buffer> {
  const { train, dev, manifest, program, folder: parent } = training;
  const [name, ...args] = program.command;
  const full = (cause: unknown) => {
    throw noRoom(parent, cause);
  };
  const folder = await openDataSetFolder(parent).catch(full);
  try {
    const fileOf = (file: string) => path.join(folder.path, file);
    const files = {
      train: fileOf('train.jsonl'),
      dev: fileOf('dev.jsonl'),
      manifest: fileOf('manifest.json'),
      output: fileOf('model.onnx'),
    };
    await writeFile(files.train, jsonLines(train)).catch(full);
    await writeFile(files.dev, jsonLines(dev)).catch(full);
    await writeFile(files.manifest, JSON.stringify(manifest)).catch(full);
    const given = Object.entries(files).flatMap(([option, file]) => [`--${option}`, file]);
    await runCommand(name, [...args, ...given], program.timeoutMs, control);
    const bytes = await readFile(files.output).catch((cause: unknown) => {
      throw new TrainingError(`${name} succeeded, but its file can't be read: ${reasonOf(cause)}.`, { cause });
    });
    await checkFile(bytes, training);
    return bytes;
  } finally {
    await folder.remove();
  }
}

/**
 * Loads a model file made elsewhere and asks it some of `rows`. Returns the intents of `rows` that it does not know.
 * @throws ModelRefused when it must not be served, or its answers are not probabilities.
 */
export async function checkForeignFile(
  bytes: Uint8Array,
  rows: readonly Sample[],
  places: EncoderPlaces,
): Promise<readonly string[]> {
  const model = await loadModel(bytes, places);
  try {
    const { labels } = model.metadata;
    const answers = await model.probabilities(rows.slice(0, CHECKED_ROWS).map(({ text }) => text));
    for (let start = 0; start < answers.length; start += labels.length) {
      const row = answers.subarray(start, start + labels.length);
      const sum = row.reduce((total, p) => total + p, 0);
      if (!row.every((p) => p > -0.001) || !(Math.abs(sum - 1) < 0.01))
        throw new ModelRefused(`Its answers are not probabilities: those of one text add up to ${sum}.`);
    }
    const known = new Set(labels.map(labelName));
    return [...new Set(rows.map(labelName))].filter((name) => !known.has(name));
  } finally {
    await model.close();
  }
}

async function checkFile(bytes: Buffer, { program, train, dev, manifest, places }: ExternalTraining): Promise<void> {
  const [name] = program.command;
  try {
    const lost = await checkForeignFile(bytes, [...dev, ...train], places);
    const [one] = lost.filter((label) => train.some((row) => labelName(row) === label));
    if (one !== undefined)
      throw new TrainingError(`The model of ${name} does not know all intents of the training rows, such as ${one}.`);
  } catch (cause) {
    if (!(cause instanceof ModelRefused)) throw cause;
    throw new ModelRefused(`The file from ${name} is refused. ${cause.message}`, { cause });
  }
  if (!isDeepStrictEqual(checkModel(bytes).metadata.manifest, JSON.parse(JSON.stringify(manifest))))
    throw new TrainingError(
      `The file from ${name} was trained on other data: its samvad.manifest is not a copy of the file behind --manifest.`,
    );
}

function jsonLines(rows: readonly Sample[]): string {
  return rows
    .map(
      ({ text, intent, module, language, source }) => `${JSON.stringify({ text, intent, module, language, source })}\n`,
    )
    .join('');
}

async function runCommand(
  name: string,
  args: readonly string[],
  timeoutMs: number,
  { signal, onLine, onGroup }: ExternalControl,
): Promise<void> {
  signal?.throwIfAborted();
  const timeout = AbortSignal.timeout(timeoutMs);
  const stop = signal ? AbortSignal.any([signal, timeout]) : timeout;
  // A separate process group, so that its workers end with it.
  const child = spawn(name, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true, env: programEnvironment() });
  onGroup?.(child.pid);
  const lines: string[] = [];
  let rest = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split(/[\r\n]+/); // progress bars return to the start of the line
    rest = (parts.pop() ?? '').slice(-MAX_LINE);
    const whole = parts.filter((line) => line.trim() !== '').map((line) => line.slice(0, MAX_LINE));
    lines.push(...whole);
    lines.splice(0, lines.length - LINES_KEPT);
    for (const line of whole) onLine?.(line);
  });
  const said = () => (lines.length + rest.length > 0 ? ` It said:\n${[...lines, rest].join('\n').trimEnd()}` : '');
  let ended = () => undefined as unknown;
  try {
    await new Promise<void>((resolve, reject) => {
      ended = () => reject(new TrainingError(`${name} was still running after ${timeoutMs / 1000} s.${said()}`));
      stop.addEventListener('abort', ended);
      if (stop.aborted) ended();
      child.on('error', (cause) => reject(new TrainingError(`${name} can't be started: ${cause.message}.`, { cause })));
      child.on('exit', (code, killedBy) => {
        const finish = () => {
          if (code === 0) resolve();
          else reject(new TrainingError(`${name} failed with ${killedBy ?? `code ${code ?? 'none'}`}.${said()}`));
        };
        child.on('close', finish);
        setTimeout(finish, DRAIN_MS).unref();
      });
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    stop.removeEventListener('abort', ended);
    killGroup(child.pid);
    onGroup?.(undefined);
  }
}
