/**
 * The trace that a record belongs to: `version-traceid-parentid-flags` of W3C Trace Context
 * (https://www.w3.org/TR/trace-context/#traceparent-header). It is in a header and never in a value, so that nothing that
 * is derived from the log depends on it. A record that is written because of another one has the same trace, unchanged: a
 * random id would differ in each replay. `runtime/tracing.ts` computes spans from it.
 */

/** Name of the header, in Kafka as in HTTP. */
export const TRACEPARENT = 'traceparent';

const FORMAT = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const SAMPLED = 1;

/** `text` in the form of version 00; null if it is malformed. */
export function parseTraceparent(text: string): string | null {
  const [, version, traceId = '', parentId = '', flags = '', more] = FORMAT.exec(text) ?? [];
  if (version === undefined) return null;
  if (version === '00') return more === undefined ? text : null;
  // A later version begins with the same four parts; of its flags, only the known one is kept.
  return `00-${traceId}-${parentId}-0${String(Number.parseInt(flags, 16) & SAMPLED)}`;
}

/** The id of the whole trace, 32 hexadecimal digits, from a result of `parseTraceparent`. */
export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35);
}

/** Whether the caller records the trace, so that our spans belong in it. */
export function isSampled(traceparent: string): boolean {
  return (Number.parseInt(traceparent.slice(53, 55), 16) & SAMPLED) === SAMPLED;
}

/** The same trace under another parent, 16 hexadecimal digits. */
export function traceparentWith(traceparent: string, parentId: string): string {
  return `${traceparent.slice(0, 36)}${parentId}${traceparent.slice(52)}`;
}

/** The parts of a `traceparent`, as OpenTelemetry names them. */
export function spanContextOf(traceparent: string) {
  return { traceId: traceIdOf(traceparent), spanId: traceparent.slice(36, 52), traceFlags: SAMPLED };
}
