/** The trace of what is sent: the caller's, as it comes from outside. */
import { randomBytes } from 'node:crypto';
import { traceFields } from '../runtime/log.ts';
import { parseTraceparent } from '../stream/trace.ts';
import type { ProducedEvent } from './inputs.ts';

/** What a caller may say of the trace in which it sends something. */
export interface Traced {
  /** A `traceparent` of W3C Trace Context. One that is malformed is replaced by a new one. */
  readonly traceparent?: string | undefined;
}

/** The trace that goes into the log: the given one, a new one in place of what can't be read, and none where none was given. */
export function traceFrom({ traceparent }: Traced): { readonly traceparent?: string } {
  if (traceparent === undefined) return {};
  return { traceparent: parseTraceparent(traceparent) ?? newTraceparent() };
}

/** What a log says of an event, so that the lines about one conversation are found. */
export function logFields({ record, traceparent }: ProducedEvent) {
  return { conversation_id: record.conversation_id, ...traceFields(traceparent) };
}

/** Not sampled: whether anybody records it is not known here. */
function newTraceparent(): string {
  return `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-00`;
}
