/** The HTTP API: takes conversations and reviews, and tells how the pipeline stands. Answers are JSON, errors too. */
import fastify, { LogController } from 'fastify';
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Pool } from 'pg';
import type { ConversationProducer } from '../producers/conversation-producer.ts';
import { RecordTooLarge } from '../producers/kafka-link.ts';
import { SpoolFull } from '../producers/spool.ts';
import { BatchError, ingestRoutes } from './ingest.ts';

/** Largest request body in bytes. */
export const MAX_BODY_BYTES = 5 * 1024 * 1024;

/** What the API serves from. */
export interface ServerOptions {
  readonly producer: Pick<ConversationProducer, 'send'>;
  readonly pool: Pick<Pool, 'query'>;
  /** The state of each part: `ok`, or a sentence that says what is wrong. */
  readonly readiness: () => Promise<Readonly<Record<string, string>>>;
  /** What `GET /v1/status` answers. */
  readonly status: () => Promise<object>;
  readonly log?: FastifyBaseLogger;
}

/** An HTTP answer other than success, as a sentence for the caller. */
interface Answer {
  readonly status: number;
  readonly body: object;
  readonly retryAfterSeconds?: number;
}

/** The API, not yet listening. */
export function createServer(options: ServerOptions): FastifyInstance {
  const { producer, log } = options;
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    logController: new LogController({ disableRequestLogging: true }),
    ...(log && { loggerInstance: log }),
  }) as FastifyInstance;
  // A page of another site may send text/plain without being asked, and nothing here needs it.
  app.removeContentTypeParser('text/plain');
  app.setErrorHandler((error: FastifyError, request, reply) => refuse(error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({ error: `There is no ${request.method} ${pathOf(request)}.` }),
  );
  ingestRoutes(app, producer);
  healthRoutes(app, options);
  readRoutes(app, options);
  return app;
}

function healthRoutes(app: FastifyInstance, { readiness, status }: ServerOptions): void {
  app.get('/healthz', () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const parts = await readiness();
    const ready = Object.values(parts).every((state) => state === 'ok');
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ok' : 'not ready', parts });
  });
  app.get('/v1/status', () => status());
}

function readRoutes(app: FastifyInstance, { pool }: ServerOptions): void {
  app.get('/v1/models', async () => {
    const { rows } = await pool.query<Record<string, unknown>>(
      'SELECT * FROM model_versions ORDER BY created_at DESC, version',
    );
    return rows;
  });
  app.get<{ Params: { id: string } }>('/v1/conversations/:id', async ({ params: { id } }, reply) => {
    // Postgres has no text with a zero character, so no row has such an id.
    const { rows } = id.includes('\0')
      ? { rows: [] }
      : await pool.query<Record<string, unknown>>('SELECT * FROM conversation_logs WHERE conversation_id = $1', [id]);
    const [row] = rows;
    if (row) return row;
    const error = `There is no conversation ${JSON.stringify(shorten(id))} yet; one that was just accepted takes a moment.`;
    return reply.code(404).send({ error });
  });
}

function refuse(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, body, retryAfterSeconds } = answerTo(error, request);
  if (status === 500) request.log.error({ err: error, reqId: request.id }, 'a request failed');
  if (retryAfterSeconds !== undefined) reply.header('retry-after', String(retryAfterSeconds));
  return reply.code(status).send(body);
}

function answerTo(error: FastifyError, request: FastifyRequest): Answer {
  if (error instanceof BatchError) return { status: 400, body: { error: error.message, problems: error.problems } };
  if (error instanceof RecordTooLarge) return { status: 413, body: { error: error.message } };
  if (error instanceof SpoolFull) {
    const { message, retryAfterSeconds } = error;
    return {
      status: 503,
      body: { error: `${message} What was stored of this request is harmless to send again.` },
      retryAfterSeconds,
    };
  }
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return {
      status: 413,
      body: { error: `The body has more than ${String(MAX_BODY_BYTES)} bytes; send it in parts.` },
    };
  }
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return {
      status: 415,
      body: { error: 'Send application/json, or application/x-ndjson with one JSON object a line.' },
    };
  }
  const status = error.statusCode ?? 500;
  if (status >= 400 && status < 500) return { status, body: { error: `${error.message.replace(/\.$/, '')}.` } };
  if (isUnreachable(error)) {
    return { status: 503, body: { error: 'The database does not answer; try again soon.' }, retryAfterSeconds: 5 };
  }
  return { status: 500, body: { error: `The server could not do that; its log has the reason under ${request.id}.` } };
}

/** Whether Postgres could not be reached or is going down or coming up, by Node's codes and Postgres' classes 08 and 57P. */
function isUnreachable({ code, message }: FastifyError): boolean {
  return (
    /^(ECONN|ENOTFOUND|ETIMEDOUT|EPIPE|EHOSTUNREACH|08|57P)/.test(code) ||
    /^Connection terminated|timeout exceeded when trying to connect/.test(message)
  );
}

function pathOf(request: FastifyRequest): string {
  return shorten(request.url.split('?')[0] ?? '');
}

function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
