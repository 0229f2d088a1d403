/**
 * Training in a process of its own, so that the poll loop and the API of this one go on, what training took of memory goes
 * back when it ends, and a system that runs out of memory ends the training and not the trainer.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { TrainingError } from './train.ts';
import type { EpochReport, TrainingControl, TrainingInput, TrainingOutcome } from './train.ts';

/** What the process tells; it is told the `TrainingInput`. */
export type Message =
  | { readonly kind: 'epoch'; readonly report: EpochReport }
  | { readonly kind: 'done'; readonly outcome: TrainingOutcome }
  | { readonly kind: 'failed'; readonly message: string; readonly byData: boolean };

/**
 * `train`, in another process. Aborting ends it at once, and it ends by itself when this process is gone.
 * @throws TrainingError as `train` does; the signal's reason when it was aborted.
 */
export async function trainInProcess(input: TrainingInput, control: TrainingControl = {}): Promise<TrainingOutcome> {
  const { signal, onEpoch } = control;
  signal?.throwIfAborted();
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const child = fork(fileURLToPath(new URL(`train-process-main.${extension}`, import.meta.url)), [], {
    // A process does not inherit tsx, which reads TypeScript, so it is asked again.
    execArgv: extension === 'ts' ? ['--import', import.meta.resolve('tsx')] : [],
    serialization: 'advanced', // typed arrays
  });
  const abort = () => void child.kill('SIGKILL');
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return await new Promise<TrainingOutcome>((resolve, reject) => {
      child.on('message', (message: Message) => {
        if (message.kind === 'epoch') onEpoch?.(message.report);
        else if (message.kind === 'done') resolve(message.outcome);
        else reject(message.byData ? new TrainingError(message.message) : new Error(message.message));
      });
      child.on('error', (cause) => reject(new Error('The training process failed.', { cause })));
      child.on('exit', (code, killed) => {
        const reason: unknown = signal?.aborted === true ? signal.reason : undefined;
        const how = killed === null ? `code ${String(code)}` : killed;
        reject(reason instanceof Error ? reason : new Error(`The training process ended early, with ${how}.`));
      });
      child.send(input);
    });
  } finally {
    signal?.removeEventListener('abort', abort);
    child.kill('SIGKILL');
  }
}
