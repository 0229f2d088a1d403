/** Health: whether the process is alive, whether its parts are ready, and their progress. */
import type { FastifyInstance } from 'fastify';
import { refusals } from './openapi.ts';

/** The dependencies of the health routes. */
export interface HealthDeps {
  /** The state of each part: `ok`, or a sentence about the problem. */
  readonly readiness: () => Promise<Readonly<Record<string, string>>>;
  /** What `GET /v1/status` answers. */
  readonly status: () => Promise<object>;
}

const parts = { type: 'object', additionalProperties: { type: 'string' } } as const;

const tags = ['health'];

/** Adds `/healthz` (the process is alive) and `/readyz` (its parts are ready). */
export function livenessRoutes(app: FastifyInstance, { readiness }: Pick<HealthDeps, 'readiness'>): void {
  // No rate limit: a refused probe would make the supervisor restart a healthy process.
  const config = { role: 'anyone', rateLimit: false } as const;
  app.get('/healthz', { config, schema: { tags, summary: 'Whether the process answers' } }, () => ({
    status: 'ok',
  }));
  app.get(
    '/readyz',
    {
      config,
      schema: {
        tags,
        summary: 'Whether every part can work; 503 with the reasons otherwise',
        response: {
          200: { description: 'every part is ok', type: 'object', properties: { status: { const: 'ok' }, parts } },
          503: {
            description: 'some part is not ok',
            type: 'object',
            properties: { status: { const: 'not ready' }, parts },
          },
        },
      },
    },
    async (_request, reply) => {
      const states = await readiness();
      const ready = Object.values(states).every((state) => state === 'ok');
      return reply.code(ready ? 200 : 503).send({ status: ready ? 'ok' : 'not ready', parts: states });
    },
  );
}

/** Adds `/healthz`, `/readyz` and `/v1/status`. */
export function healthRoutes(app: FastifyInstance, { readiness, status }: HealthDeps): void {
  livenessRoutes(app, { readiness });
  app.get(
    '/v1/status',
    {
      config: { role: 'read' },
      schema: {
        tags,
        summary: 'Lag of each component, and totals of the traffic so far',
        response: refusals(503),
      },
    },
    () => status(),
  );
}
