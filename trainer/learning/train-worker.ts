/** Trains in a worker thread, so that the run can keep noting its progress. */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { reasonOf } from '../../runtime/reason.ts';
import { TrainingError, train } from './train.ts';
import type { EpochReport, TrainingControl, TrainingInput, TrainingOutcome } from './train.ts';
import { EncoderError } from './transformer-encoder.ts';

/** The messages of the thread. */
type Message =
  | { readonly kind: 'epoch'; readonly report: EpochReport }
  | { readonly kind: 'done'; readonly outcome: TrainingOutcome }
  | { readonly kind: 'failed'; readonly message: string; readonly byData: boolean };

/** Marks the worker data of a training thread, because other threads may load this file too. */
interface ThreadData {
  readonly samvadTraining: TrainingInput;
}

/**
 * Runs `train` in a worker thread. Aborting ends the thread at once.
 * @throws TrainingError as `train` does, and when there is no encoder or the thread runs out of memory. @throws the
 * signal's reason when aborted.
 */
export async function trainInWorker(input: TrainingInput, control: TrainingControl = {}): Promise<TrainingOutcome> {
  control.signal?.throwIfAborted();
  const data: ThreadData = { samvadTraining: input };
  const worker = new Worker(bootstrap(), { workerData: data, eval: true });
  const abort = () => void worker.terminate();
  control.signal?.addEventListener('abort', abort, { once: true });
  try {
    return await new Promise<TrainingOutcome>((resolve, reject) => {
      worker.on('message', (message: Message) => {
        if (message.kind === 'epoch') control.onEpoch?.(message.report);
        else if (message.kind === 'done') resolve(message.outcome);
        else reject(message.byData ? new TrainingError(message.message) : new Error(message.message));
      });
      worker.on('error', (cause) => {
        reject(new TrainingError(`The training thread failed: ${reasonOf(cause)}.`, { cause })); // out of memory
      });
      worker.on('exit', (code) => {
        const { signal } = control;
        const reason: unknown = signal?.aborted === true ? signal.reason : undefined;
        reject(reason instanceof Error ? reason : new Error(`The training thread ended early, with code ${code}.`));
      });
    });
  } finally {
    control.signal?.removeEventListener('abort', abort);
    await worker.terminate();
  }
}

/**
 * Code that loads this file in the thread. A thread does not inherit the TypeScript loader, so tsx is registered again.
 */
function bootstrap(): string {
  const load = `import(${JSON.stringify(import.meta.url)})`;
  return `import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))}).then(({ register }) => (register(), ${load}))`;
}

async function runInThread(input: TrainingInput): Promise<void> {
  const tell = (message: Message) => parentPort?.postMessage(message, []);
  try {
    const outcome = await train(input, { onEpoch: (report) => tell({ kind: 'epoch', report }) });
    tell({ kind: 'done', outcome });
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const byData = error instanceof TrainingError || error instanceof EncoderError;
    tell({ kind: 'failed', message: byData ? error.message : message, byData });
  }
}

const received: unknown = workerData;
if (!isMainThread && typeof received === 'object' && received !== null && 'samvadTraining' in received)
  await runInThread((received as ThreadData).samvadTraining);
