/**
 * The state of the exchange with Label Studio, and the endpoint for its webhooks. Their content is not read, because a
 * webhook may come late, twice, out of order or never.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { SECRET_HEADER } from '../label-studio/webhook.ts';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';

/** The dependencies of the routes. */
export interface LabelStudioDeps {
  readonly labelStudio: {
    /** The shared secret. When absent, every webhook is refused. */
    readonly webhookSecret: string | undefined;
    /** Tells the sync, in any process, to look now. */
    readonly hint: () => Promise<void>;
    /** The answer of `GET /v1/label-studio`. */
    readonly standing: () => Promise<object>;
  };
}

/** Adds `GET /v1/label-studio` and `POST /v1/label-studio/webhook`. */
export function labelStudioRoutes(app: FastifyInstance, { labelStudio }: LabelStudioDeps): void {
  app.get(
    '/v1/label-studio',
    {
      config: { role: 'read' },
      schema: {
        tags: ['review'],
        summary: 'The project, its tasks, the last sync and the last error',
        response: refusals(503),
      },
    },
    () => labelStudio.standing(),
  );
  app.register((scope, _options, done) => {
    // Label Studio waits one second, and a payload may have thousands of annotations, so the body is discarded while it
    // arrives.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, parsed) => {
      payload.resume();
      payload.on('end', () => parsed(null));
      payload.on('error', parsed);
    });
    scope.post(
      '/v1/label-studio/webhook',
      {
        config: { role: 'anyone' }, // Label Studio has no API token; it sends the shared secret instead
        schema: {
          tags: ['review'],
          summary: `A hint from Label Studio that something has changed, with the shared secret in ${SECRET_HEADER}`,
          response: { 202: { description: 'a synchronisation is requested', type: 'null' }, ...refusals(403, 503) },
        },
        onRequest: async (request) => {
          const { webhookSecret } = labelStudio;
          if (webhookSecret === undefined)
            throw new HttpProblem(403, 'Webhooks are not accepted: LABEL_STUDIO_WEBHOOK_SECRET is not set.');
          if (!same(String(request.headers[SECRET_HEADER.toLowerCase()] ?? ''), webhookSecret))
            throw new HttpProblem(403, `The header ${SECRET_HEADER} does not contain the shared secret.`);
          return Promise.resolve();
        },
      },
      async (_request, reply) => {
        await labelStudio.hint();
        return reply.code(202).send();
      },
    );
    done();
  });
}

/** Compares in constant time. */
function same(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
