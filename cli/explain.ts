/** What a command that failed says. */
import { plain } from '../app/terminal.ts';
import { reasonOf } from '../runtime/reason.ts';

/** Constructors of the language. Errors of the program's own classes, and those with a code, are about what the user can change. */
const NATIVE: ReadonlySet<unknown> = new Set([
  ...[Error, AggregateError, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError],
]);

/** A sentence about what the user can change; the stack trace of a bug. It may quote a file, whose control characters are made visible. */
export function explain(error: unknown): string {
  return plain(textOf(error));
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name.startsWith('KafkaJS')) return `Kafka does not answer as it should: ${reasonOf(error)}.`;
  const isBug = NATIVE.has(error.constructor) && !('code' in error);
  return isBug ? (error.stack ?? error.message) : error.message;
}
