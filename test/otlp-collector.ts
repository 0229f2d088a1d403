/** A collector that receives spans by OTLP/HTTP, as Jaeger or Tempo does. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A span as OTLP writes it in JSON, with the fields that tests read. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code: number };
}

interface Request {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly CollectedSpan[] }[] }[];
}

/** Listens on loopback. */
export async function startCollector() {
  const spans: CollectedSpan[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      if (request.url === '/v1/traces')
        for (const { scopeSpans } of (JSON.parse(body) as Request).resourceSpans)
          spans.push(...scopeSpans.flatMap((scope) => scope.spans));
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    /** Waits until each of `names` has sent a span. */
    async until(names: readonly string[]): Promise<void> {
      const missing = () => names.filter((name) => !spans.some((span) => span.name === name));
      for (const deadline = Date.now() + 60_000; missing().length > 0; await sleep(100))
        if (Date.now() > deadline) throw new Error(`There is no span of ${missing().join(', ')}.`);
    },
    async stop(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A started collector. */
export type Collector = Awaited<ReturnType<typeof startCollector>>;
