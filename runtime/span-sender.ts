/** The part of tracing that loads OpenTelemetry; `tracing.ts` imports it only if spans are to be sent. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { Logger } from 'pino';
import { spanContextOf } from '../stream/trace.ts';

/** A piece of work that has ended. */
export interface Span {
  readonly name: string;
  readonly kind: 'server' | 'consumer';
  /** The parent's. */
  readonly traceparent: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly error?: string;
}

/** Sends spans in batches. Drops them while no collector accepts them, because the work has priority over tracing. */
export interface SpanSender {
  send(span: Span): void;
  stop(): Promise<void>;
}

/** Sends spans as JSON to `/v1/traces` under `endpoint`. */
export function openSpanSender(endpoint: string, log: Logger): SpanSender {
  let spanId = '';
  const exporter = new OTLPTraceExporter({ url: new URL('v1/traces', `${endpoint.replace(/\/$/, '')}/`).href });
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'samvad' }),
    spanProcessors: [new BatchSpanProcessor(exporter)],
    // A trace always comes from the caller, so only span ids are needed.
    idGenerator: { generateSpanId: () => spanId, generateTraceId: () => '' },
  });
  const tracer = provider.getTracer('samvad');
  return {
    send({ name, kind, traceparent, spanId: id, from, to, attributes, error }) {
      spanId = id;
      const parent = trace.setSpanContext(ROOT_CONTEXT, { ...spanContextOf(traceparent), isRemote: true });
      const span = tracer.startSpan(
        name,
        { kind: kind === 'server' ? SpanKind.SERVER : SpanKind.CONSUMER, startTime: from, attributes },
        parent,
      );
      if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
      span.end(to);
    },
    stop: () =>
      provider.shutdown().catch((error: unknown) => {
        log.warn({ error: String(error) }, 'the last spans were not accepted');
      }),
  };
}
