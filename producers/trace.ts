/** The trace of a record that is sent: the caller's, checked, because it comes from outside. */
import { randomBytes } from 'node:crypto';
import { traceFields } from '../runtime/log.ts';
import { parseTraceparent } from '../stream/trace.ts';
import type { ProducedEvent } from './inputs.ts';

/** The trace that a caller may give. */
export interface Traced {
  /** A `traceparent` of W3C Trace Context. A malformed one is replaced by a new one. */
  readonly traceparent?: string | undefined;
}

/** The trace that goes into the log: the given one, a new one if the given one is malformed, none if none was given. */
export function traceFrom({ traceparent }: Traced): { readonly traceparent?: string } {
  if (traceparent === undefined) return {};
  return { traceparent: parseTraceparent(traceparent) ?? newTraceparent() };
}

/** Log fields of an event, so that the lines about one conversation can be found. */
export function logFields({ record, traceparent }: ProducedEvent) {
  return { conversation_id: record.conversation_id, ...traceFields(traceparent) };
}

/** Not sampled, because it is unknown whether anyone records the trace. */
function newTraceparent(): string {
  return `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-00`;
}
