/**
 * How the exchange with Label Studio stands, and the door for its webhooks. What those carry is not read: a webhook may come
 * late, twice, in another order or never.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { SECRET_HEADER } from '../label-studio/webhook.ts';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';

/** What the webhook route needs. */
export interface LabelStudioDeps {
  readonly labelStudio: {
    /** The shared secret; absent where none is configured, and then nobody is listened to. */
    readonly webhookSecret: string | undefined;
    /** Tells the sync, in whichever process it runs, to look now. */
    readonly hint: () => Promise<void>;
    /** What `GET /v1/label-studio` answers. */
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
    // Label Studio waits one second, and a payload can have thousands of annotations: it is thrown away as it comes.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, parsed) => {
      payload.resume();
      payload.on('end', () => parsed(null));
      payload.on('error', parsed);
    });
    scope.post(
      '/v1/label-studio/webhook',
      {
        config: { role: 'anyone' }, // Label Studio has no token of ours; the secret stands for it
        schema: {
          tags: ['review'],
          summary: `A hint from Label Studio that there is news; the shared secret comes in ${SECRET_HEADER}`,
          response: { 202: { description: 'the sync looks now', type: 'null' }, ...refusals(403, 503) },
        },
        onRequest: async (request) => {
          const { webhookSecret } = labelStudio;
          if (webhookSecret === undefined)
            throw new HttpProblem(403, 'No webhooks are taken: LABEL_STUDIO_WEBHOOK_SECRET is not set.');
          if (!same(String(request.headers[SECRET_HEADER.toLowerCase()] ?? ''), webhookSecret))
            throw new HttpProblem(403, `The header ${SECRET_HEADER} does not hold the shared secret.`);
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

/** Compares in a time that tells nothing of where the difference is. */
function same(given: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
