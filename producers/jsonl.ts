/** Conversations and reviews from files, one JSON object a line. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Problem } from '../policy/validation.ts';
import type { ConversationProducer } from './conversation-producer.ts';
import { InputError, parseConversation, parseReview } from './inputs.ts';

/** What became of a file. */
export interface IngestResult {
  readonly lines: number;
  readonly accepted: number;
  readonly rejected: number;
  /** The first hundred refused lines. */
  readonly refusals: readonly { readonly line: number; readonly problems: readonly Problem[] }[];
}

const MAX_REFUSALS = 100;
const MAX_UNACKNOWLEDGED = 5000;

/** Sends each line of `file`. A bad line is reported and does not stop the others. `rate` is lines a second at most. */
export async function ingestJsonl(options: {
  readonly file: string;
  readonly kind: 'conversations' | 'reviews';
  readonly producer: ConversationProducer;
  readonly rate?: number;
  readonly onProgress?: (lines: number) => void;
}): Promise<IngestResult> {
  const { file, kind, producer, rate, onProgress } = options;
  const send = (text: string) => {
    const json = parseLine(text);
    return kind === 'conversations'
      ? producer.captureConversation(parseConversation(json))
      : producer.submitReview(parseReview(json));
  };
  const refusals: { line: number; problems: readonly Problem[] }[] = [];
  const started = Date.now();
  let [lines, accepted, rejected] = [0, 0, 0];
  let pending: Promise<void>[] = [];
  for await (const text of createInterface({ input: createReadStream(file, 'utf8'), crlfDelay: Infinity })) {
    lines++;
    if (text.trim() === '') continue;
    try {
      pending.push(send(text));
      accepted++;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      rejected++;
      if (refusals.length < MAX_REFUSALS) refusals.push({ line: lines, problems: error.problems });
    }
    if (pending.length >= MAX_UNACKNOWLEDGED) {
      await Promise.all(pending);
      pending = [];
      onProgress?.(lines);
    }
    if (rate !== undefined) await pace(started, lines, rate);
  }
  await Promise.all(pending);
  onProgress?.(lines);
  return { lines, accepted, rejected, refusals };
}

function parseLine(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError([
      { field: '', message: `This is not JSON: ${error instanceof Error ? error.message : String(error)}.` },
    ]);
  }
}

async function pace(started: number, sent: number, rate: number): Promise<void> {
  const ahead = started + (sent / rate) * 1000 - Date.now();
  if (ahead > 5) await new Promise((resolve) => setTimeout(resolve, ahead));
}
