/** What `trainInProcess` starts: trains on what it is sent, and sends what comes of it. */
import { TrainingError, train } from './train.ts';
import type { TrainingInput } from './train.ts';
import type { Message } from './train-process.ts';

process.once('disconnect', () => process.exit(1)); // whoever wanted it is gone
process.on('SIGINT', () => undefined); // Ctrl-C reaches the whole group; the other process says when to end
process.once('message', (input: TrainingInput) => void trainOn(input));

async function trainOn(input: TrainingInput): Promise<void> {
  const tell = (message: Message) => process.send?.(message);
  try {
    const outcome = await train(input, { onEpoch: (report) => tell({ kind: 'epoch', report }) });
    tell({ kind: 'done', outcome });
  } catch (error) {
    const byData = error instanceof TrainingError;
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    tell({ kind: 'failed', message: byData ? error.message : stack, byData });
  }
}
