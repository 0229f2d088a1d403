/** What a command that failed says. */
import { reasonOf } from '../runtime/reason.ts';

/** Constructors of the language. Errors of the program's own classes, and those with a code, are about what the user can change. */
const NATIVE: ReadonlySet<unknown> = new Set([
  ...[Error, AggregateError, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError],
]);

/** A sentence about what the user can change; the stack trace of a bug. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name.startsWith('KafkaJS')) return `Kafka does not answer as it should: ${reasonOf(error)}.`;
  const isBug = NATIVE.has(error.constructor) && !('code' in error);
  return isBug ? (error.stack ?? error.message) : error.message;
}
