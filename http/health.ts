/** Whether the process lives, whether its parts can work, and how far they are. */
import type { FastifyInstance } from 'fastify';
import { refusals } from './openapi.ts';

/** What the health routes ask. */
export interface HealthDeps {
  /** The state of each part: `ok`, or a sentence that says what is wrong. */
  readonly readiness: () => Promise<Readonly<Record<string, string>>>;
  /** What `GET /v1/status` answers. */
  readonly status: () => Promise<object>;
}

const parts = { type: 'object', additionalProperties: { type: 'string' } } as const;

const tags = ['health'];

/** Adds `/healthz`, which tells that the process lives, and `/readyz`, which tells what can work. */
export function livenessRoutes(app: FastifyInstance, { readiness }: Pick<HealthDeps, 'readiness'>): void {
  // Without a limit: a probe that is refused would end a process that is well.
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
            description: 'some part is not',
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
        summary: 'Lag of each component, and what the pipeline made of the traffic so far',
        response: refusals(503),
      },
    },
    () => status(),
  );
}
