/** The trace that a caller names in the header `traceparent`. */
import type { FastifyRequest } from 'fastify';
import type { Traced } from '../producers/trace.ts';
import { traceFields } from '../runtime/log.ts';
import { parseTraceparent, TRACEPARENT } from '../stream/trace.ts';

/** How a route's schema describes it. */
export const traceHeader = {
  type: 'object',
  properties: {
    [TRACEPARENT]: { type: 'string', description: 'W3C Trace Context; goes with what is sent, through the pipeline' },
  },
} as const;

/** As the caller sent it. */
export function traceOf({ headers }: Pick<FastifyRequest, 'headers'>): Traced {
  return { traceparent: headers[TRACEPARENT]?.toString() };
}

/** What a log says of a request, so that the lines about one conversation are found. */
export function requestFields(request: FastifyRequest) {
  const body = request.body as { conversation_id?: unknown } | null | undefined;
  const id = typeof body?.conversation_id === 'string' ? { conversation_id: body.conversation_id.slice(0, 200) } : {};
  return { reqId: request.id, ...id, ...traceFields(parseTraceparent(traceOf(request).traceparent ?? '')) };
}
