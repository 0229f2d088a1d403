/** Health checks and metrics of a process, for its supervisor and Prometheus, on a separate port. */
import fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import { Registry } from 'prom-client';
import { livenessRoutes } from './health.ts';
import type { HealthDeps } from './health.ts';
import type { Measurements } from './measurements.ts';
import { processMetrics } from './process-metrics.ts';
import type { PipelineFigures, ProcessFigures } from './process-metrics.ts';

/** The dependencies of the server. */
export interface HealthServerOptions extends Pick<HealthDeps, 'readiness'> {
  readonly figures: () => ProcessFigures;
  readonly measurements: Pick<Measurements, 'registry'>;
  readonly pipeline?: () => Promise<PipelineFigures>;
}

/** Creates the server, not yet listening: `/healthz`, `/readyz` and `/metrics`, without tokens. */
export function createHealthServer({
  readiness,
  figures,
  measurements,
  pipeline,
}: HealthServerOptions): FastifyInstance {
  const app = fastify();
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  const metrics = Registry.merge([processMetrics(figures, pipeline), measurements.registry]);
  livenessRoutes(app, { readiness });
  app.get('/metrics', { config: { role: 'anyone' } }, async (_request, reply) =>
    reply
      .type(metrics.contentType)
      .serializer(String)
      .send(await metrics.metrics()),
  );
  return app;
}
