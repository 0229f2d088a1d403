/** Names the record at which something failed. */
import type { RawRecord } from './batch.ts';

/** The place of a record, as dead letters are listed: `topic/partition@offset`. */
export function placeOf({ topic, partition, offset }: Pick<RawRecord, 'topic' | 'partition' | 'offset'>): string {
  return `${topic}/${String(partition)}@${String(offset)}`;
}

const placed = new WeakSet<Error>();

/**
 * `error` with `place` before its message, for `throw`. It stays the same object, because its class and code say whether trying again may
 * help. An error that names a place keeps it.
 */
export function at(place: string, error: unknown): unknown {
  if (!(error instanceof Error) || placed.has(error)) return error;
  placed.add(error);
  const { message, stack } = error;
  error.message = `${place}: ${message}`;
  if (stack !== undefined) error.stack = stack.replace(message, () => error.message); // it holds the message as it was at first
  return error;
}
