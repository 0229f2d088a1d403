/** Conversations and reviews from files, one JSON object a line. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Problem } from '../policy/validation.ts';
import { reasonOf } from '../runtime/reason.ts';
import type { ConversationProducer } from './conversation-producer.ts';
import { bytesOfFile } from './file-bytes.ts';
import type { EventKind, ProducedEvent } from './inputs.ts';
import { InputError, parseEventText } from './inputs.ts';
import { RecordTooLarge } from './kafka-link.ts';
import type { Line } from './lines.ts';
import { linesOf } from './lines.ts';
import { SpoolFull } from './spool.ts';

/** The result of reading a file. */
export interface IngestResult {
  /** Lines of the file, blank ones included. */
  readonly lines: number;
  /** Lines whose record is safe in Kafka or in the spool. */
  readonly accepted: number;
  readonly rejected: number;
  /** The first hundred refused lines, in the order of the file. */
  readonly refusals: readonly Refusal[];
}

/** A line that was refused, counted from 1, and why. */
export interface Refusal {
  readonly line: number;
  readonly problems: readonly Problem[];
}

/** What is read, and where it is sent. */
export interface IngestOptions {
  readonly file: string;
  readonly kind: EventKind;
  readonly producer: Pick<ConversationProducer, 'send'>;
  /** Lines a second at most. */
  readonly rate?: number;
  /** Called with the number of lines read, a few times a second and at the end. */
  readonly onProgress?: (lines: number) => void;
}

/** A file that can't be read to its end. */
export class UnreadableFile extends Error {
  override readonly name = 'UnreadableFile';
}

const MAX_REFUSALS = 100;
const MAX_IN_FLIGHT = 5000;
const PROGRESS_MS = 200;
const MAX_BEHIND_MS = 1000;

/**
 * Sends each line of `file` (gzip if its name ends in `.gz`), many at a time. A bad line is reported and does not stop the others; a full spool makes it
 * wait. Memory does not grow with the file.
 * @throws UnreadableFile
 */
export async function ingestJsonl({ file, kind, producer, rate, onProgress }: IngestOptions): Promise<IngestResult> {
  const refusals: Refusal[] = [];
  let [lines, accepted, rejected, shownAt] = [0, 0, 0, 0];
  const inTime = pace(rate);
  /** The last unfinished delivery of each conversation, so that a later answer does not overtake one that waits for room. */
  const latest = new Map<string, Promise<void>>();
  const inFlight = new Window(MAX_IN_FLIGHT);

  function refuse(line: number, problems: readonly Problem[]): void {
    rejected++;
    if (refusals.length < MAX_REFUSALS) refusals.push({ line, problems });
  }

  async function deliver(line: number, event: ProducedEvent): Promise<void> {
    try {
      await sendPatiently(producer, event);
      accepted++;
    } catch (error) {
      if (!(error instanceof RecordTooLarge)) throw error;
      refuse(line, [{ field: kind, message: error.message }]);
    }
  }

  async function inTurn(line: number, event: ProducedEvent): Promise<void> {
    const { conversation_id } = event.record;
    const delivered = Promise.resolve(latest.get(conversation_id)).then(() => deliver(line, event));
    latest.set(conversation_id, delivered);
    await delivered;
    if (latest.get(conversation_id) === delivered) latest.delete(conversation_id);
  }

  for await (const line of linesOfFile(file)) {
    lines = line.number;
    if (line.text?.trim() === '') continue;
    const event = eventOf(kind, line);
    if (event instanceof InputError) refuse(line.number, event.problems);
    else await inFlight.add(() => inTurn(line.number, event));
    await inTime();
    if (Date.now() - shownAt >= PROGRESS_MS) {
      shownAt = Date.now();
      onProgress?.(lines);
    }
  }
  await inFlight.drain();
  onProgress?.(lines);
  return { lines, accepted, rejected, refusals: refusals.sort((a, b) => a.line - b.line) };
}

/** Runs a bounded number of promises at a time. A rejection is kept and thrown by the next `add` or `drain`. */
class Window {
  readonly #size: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(size: number) {
    this.#size = size;
  }

  /** Starts `work` as soon as there is room. @throws what earlier work threw. */
  async add(work: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#size) await Promise.race(this.#running);
    if (this.#failure) throw this.#failure.error;
    const running: Promise<void> = work()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Waits for all. @throws what any threw. */
  async drain(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure) throw this.#failure.error;
  }
}

function eventOf(kind: EventKind, { text, problem }: Line): ProducedEvent | InputError {
  if (text === undefined) return new InputError([{ field: kind, message: problem }]);
  try {
    return parseEventText(kind, text);
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
}

/** A file can wait, so a full spool slows it down instead of losing a line. */
async function sendPatiently(producer: Pick<ConversationProducer, 'send'>, event: ProducedEvent): Promise<void> {
  for (;;) {
    try {
      await producer.send(event);
      return;
    } catch (error) {
      if (!(error instanceof SpoolFull)) throw error;
      await sleep(error.retryAfterSeconds * 1000);
    }
  }
}

async function* linesOfFile(file: string): AsyncGenerator<Line> {
  try {
    yield* linesOf(bytesOfFile(file));
  } catch (cause) {
    throw new UnreadableFile(`${file} can't be read: ${reasonOf(cause)}.`, { cause });
  }
}

/** The returned function is called after each line and waits until the next one is due. A delay of more than a second is not made up for. */
function pace(rate: number | undefined): () => Promise<void> {
  let due = Date.now();
  return async () => {
    if (rate === undefined) return;
    const now = Date.now();
    due = Math.max(due + 1000 / rate, now - MAX_BEHIND_MS);
    if (due - now > 5) await sleep(due - now);
  };
}
