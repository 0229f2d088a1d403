/**
 * Runs a training run in a separate process, so that its memory is released when it ends, and running out of memory
 * ends the run but not the trainer.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Servers, TrainingConfig } from '../config.ts';
import { killGroup } from '../runtime/signal-process.ts';
import { Transient } from '../runtime/rdkafka.ts';
import type { RunStanding } from '../schemas/types.ts';

/** The first message to the process. */
export interface RunOrder {
  readonly id: string;
  /** Without Postgres: a run goes on while Postgres is unavailable. */
  readonly servers: Omit<Servers, 'databaseUrl'>;
  readonly training: TrainingConfig;
  /** Where the data set is kept while it is read, and while an external program trains on it. */
  readonly dataSets: string;
  /** Names this trainer in the log. */
  readonly trainer: string;
}

/** The process's final message: the run's standing, or an error outside the run and whether it is temporary. */
export type RunAnswer =
  { readonly standing: RunStanding | undefined } | { readonly error: string; readonly passes: boolean };

/** An earlier message: the process group of an external program, so that it can be ended with the run in any case. */
export interface RunNews {
  readonly group: number | null;
}

/** The message that ends the run early. */
export const STOP = 'stop';
/** How long a stopped run has to give itself back. */
const STOP_MS = 15_000;

/**
 * Runs `executeRun` in another process, which also ends if this one is gone.
 * @throws the signal's reason when aborted. @throws Transient for temporary failures, including an early end of the
 * process.
 */
export async function executeInProcess(order: RunOrder, signal: AbortSignal): Promise<RunStanding | undefined> {
  signal.throwIfAborted();
  const child = fork(fileURLToPath(new URL('run-process-main.ts', import.meta.url)), [], {
    execArgv: ['--import', import.meta.resolve('tsx')], // a child process does not inherit the TypeScript loader
  });
  const ended = once(child, 'exit');
  ended.catch(() => undefined); // if the start fails, `answer` rejects
  let group: number | undefined;
  const answer = new Promise<RunAnswer>((resolve, reject) => {
    child.on('message', (message: RunAnswer | RunNews) => {
      if ('group' in message) group = message.group ?? undefined;
      else resolve(message);
    });
    child.once('error', reject);
    child.once('exit', (code, killed) =>
      reject(new Transient(`The process of the run ended early, with ${killed ?? `code ${String(code)}`}.`)),
    );
  });
  const stop = () => {
    if (child.connected) child.send(STOP);
    setTimeout(() => child.kill('SIGKILL'), STOP_MS).unref();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    child.send(order);
    const said = await answer;
    await ended;
    if ('standing' in said) return said.standing;
    throw said.passes ? new Transient(said.error) : new Error(said.error);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    child.kill('SIGKILL');
    killGroup(group);
  }
}
