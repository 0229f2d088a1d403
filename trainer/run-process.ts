/**
 * A training run in a process of its own. What it takes of memory goes back when it ends, and a system that runs out of
 * memory ends the run and not the trainer.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Servers, TrainingConfig } from '../config.ts';
import { killGroup } from '../runtime/process-group.ts';
import { Transient } from '../runtime/rdkafka.ts';
import type { RunStanding } from '../schemas/types.ts';

/** What the process is sent at first. */
export interface RunOrder {
  readonly id: string;
  /** Not Postgres: a run goes on while that is away. */
  readonly servers: Omit<Servers, 'databaseUrl'>;
  readonly training: TrainingConfig;
  /** Where the data set is kept while it is read, and while a program learns from it. */
  readonly dataSets: string;
  /** Names this trainer in the log. */
  readonly trainer: string;
}

/** What it answers: where the run stands at the end, or what went wrong outside of it and whether that may pass. */
export type RunAnswer =
  { readonly standing: RunStanding | undefined } | { readonly error: string; readonly passes: boolean };

/** What it tells before: the process group of an external trainer, so that it ends with the run however that ends. */
export interface RunNews {
  readonly group: number | null;
}

/** Sent to end the run early. */
export const STOP = 'stop';
/** A run that is told to stop has so long to give itself back. */
const STOP_MS = 15_000;

/**
 * `executeRun`, in another process, which ends when this one is gone.
 * @throws the signal's reason when aborted; Transient for what may pass, the end of the process among it.
 */
export async function executeInProcess(order: RunOrder, signal: AbortSignal): Promise<RunStanding | undefined> {
  signal.throwIfAborted();
  const child = fork(fileURLToPath(new URL('run-process-main.ts', import.meta.url)), [], {
    execArgv: ['--import', import.meta.resolve('tsx')], // a process does not inherit what reads TypeScript
  });
  const ended = once(child, 'exit');
  ended.catch(() => undefined); // it could not be started: `answer` tells
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
