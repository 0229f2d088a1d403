/** What a process answers its supervisor and Prometheus, on a port of its own that is not for callers. */
import fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import { livenessRoutes } from './health.ts';
import type { HealthDeps } from './health.ts';
import { processMetrics } from './process-metrics.ts';
import type { Backlog, ProcessFigures } from './process-metrics.ts';

/** What the server asks. */
export interface HealthServerOptions extends Pick<HealthDeps, 'readiness'> {
  readonly figures: () => ProcessFigures;
  readonly backlog?: () => Promise<Backlog>;
}

/** The server, not yet listening: `/healthz`, `/readyz` and `/metrics`, without tokens. */
export function createHealthServer({ readiness, figures, backlog }: HealthServerOptions): FastifyInstance {
  const app = fastify();
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  const metrics = processMetrics(figures, backlog);
  livenessRoutes(app, { readiness });
  app.get('/metrics', { config: { role: 'anyone' } }, async (_request, reply) =>
    reply
      .type(metrics.contentType)
      .serializer(String)
      .send(await metrics.metrics()),
  );
  return app;
}
