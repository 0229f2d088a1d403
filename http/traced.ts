/** The trace context of a request, from the header `traceparent`. */
import type { FastifyRequest } from 'fastify';
import type { Traced } from '../producers/trace.ts';
import { traceFields } from '../runtime/log.ts';
import { parseTraceparent, TRACEPARENT } from '../stream/trace.ts';

/** The header's description in a route's schema. */
export const traceHeader = {
  type: 'object',
  properties: {
    [TRACEPARENT]: { type: 'string', description: 'W3C Trace Context; passed through the pipeline with the records' },
  },
} as const;

/** The trace context as the caller sent it. */
export function traceOf({ headers }: Pick<FastifyRequest, 'headers'>): Traced {
  return { traceparent: headers[TRACEPARENT]?.toString() };
}

/** Log fields of a request, so that the lines about one conversation can be found. */
export function requestFields(request: FastifyRequest) {
  const body = request.body as { conversation_id?: unknown } | null | undefined;
  const id = typeof body?.conversation_id === 'string' ? { conversation_id: body.conversation_id.slice(0, 200) } : {};
  return { reqId: request.id, ...id, ...traceFields(parseTraceparent(traceOf(request).traceparent ?? '')) };
}
