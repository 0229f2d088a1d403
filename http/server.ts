/** The HTTP server: its frame (limits, headers, errors, description) and the groups of routes. */
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import fastify, { LogController } from 'fastify';
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Pool } from 'pg';
import type { ErasureDeps } from '../operations/erasure.ts';
import { MAX_ID } from '../policy/validation.ts';
import { guardRoutes } from './access.ts';
import { classifyRoutes } from './classify.ts';
import type { ClassifyDeps } from './classify.ts';
import { conversationRoutes } from './conversations.ts';
import type { ConversationDeps } from './conversations.ts';
import { dataSetRoutes } from './data-sets.ts';
import type { DataSetDeps } from './data-sets.ts';
import { deadLetterRoutes } from './dead-letters.ts';
import type { DeadLetterDeps } from './dead-letters.ts';
import { erasureRoutes } from './erasures.ts';
import { healthRoutes, livenessRoutes } from './health.ts';
import type { HealthDeps } from './health.ts';
import { ingestRoutes } from './ingest.ts';
import type { IngestDeps } from './ingest.ts';
import { readJson, refuseEncoded } from './json-body.ts';
import { kpiRoutes } from './kpis.ts';
import type { KpiDeps } from './kpis.ts';
import { labelStudioRoutes } from './label-studio.ts';
import type { LabelStudioDeps } from './label-studio.ts';
import { liveRoutes } from './live.ts';
import type { LiveDeps } from './live.ts';
import { modelReportRoutes } from './model-reports.ts';
import type { ModelReportDeps } from './model-reports.ts';
import { modelRoutes } from './models.ts';
import type { ModelDeps } from './models.ts';
import { describeApi } from './openapi.ts';
import { overviewRoutes } from './overview.ts';
import type { OverviewDeps } from './overview.ts';
import { pageRoutes } from './pages.ts';
import { policiesRoutes } from './policies.ts';
import type { PoliciesDeps } from './policies.ts';
import { HttpProblem, notFound, refuse } from './problem.ts';
import { DrainingServer } from './draining-server.ts';
import { reviewQueueRoutes } from './review-queue.ts';
import type { ReviewDeps } from './review-queue.ts';
import { searchRoutes } from './search.ts';
import type { SearchDeps } from './search.ts';
import { sessionRoutes } from './session.ts';
import type { SessionDeps } from './session.ts';

/** The largest request body in bytes; the ingest routes accept more (`MAX_INGEST_BYTES`). */
const MAX_BODY_BYTES = 1024 * 1024;
/** The most requests per minute, caller and route. A route may set its own `config.rateLimit`, or false for none. */
const MAX_REQUESTS_A_MINUTE = 6000;

/** The dependencies of all groups of routes. */
export interface ServerOptions
  extends
    IngestDeps,
    HealthDeps,
    ConversationDeps,
    ReviewDeps,
    ClassifyDeps,
    ModelDeps,
    ModelReportDeps,
    DataSetDeps,
    KpiDeps,
    SessionDeps,
    LiveDeps,
    OverviewDeps,
    PoliciesDeps,
    ErasureDeps,
    DeadLetterDeps,
    SearchDeps,
    LabelStudioDeps {
  readonly pool: Pool;
  /** A pool for reads of large tables: few connections, with a statement time-out. */
  readonly scans: Pick<Pool, 'query'>;
  /** A pool for lookups that must not delay traffic. */
  readonly lookups: Pick<Pool, 'query'>;
  readonly log?: FastifyBaseLogger;
}

/** Adds the groups of routes, in the order of the API's description. */
function routes(app: FastifyInstance, options: ServerOptions): void {
  ingestRoutes(app, options);
  conversationRoutes(app, options);
  reviewQueueRoutes(app, options);
  classifyRoutes(app, options);
  modelRoutes(app, options);
  modelReportRoutes(app, options);
  dataSetRoutes(app, options);
  kpiRoutes(app, options);
  labelStudioRoutes(app, options);
  searchRoutes(app, options);
  policiesRoutes(app, options);
  erasureRoutes(app, options);
  deadLetterRoutes(app, options);
  overviewRoutes(app, options);
  liveRoutes(app, options);
  healthRoutes(app, options);
  sessionRoutes(app, options);
  pageRoutes(app);
}

/** Creates the server, not yet listening. */
export function createServer(options: ServerOptions): FastifyInstance {
  return frame(options, (scope) => routes(scope, options));
}

/** The dependencies of the waiting server. */
export interface WaitingOptions extends IngestDeps, SessionDeps, Pick<HealthDeps, 'readiness'> {
  /** Absent before the log has been read. */
  readonly serving?: ClassifyDeps;
  readonly log?: FastifyBaseLogger;
  /** Why the other routes are not served yet, as a sentence. */
  readonly why: () => string;
}

/**
 * Creates the server used until all dependencies are ready: it accepts traffic, classifies texts once the log is read,
 * and tells callers what it waits for.
 */
export function createWaitingServer(options: WaitingOptions): FastifyInstance {
  const notYet = () => {
    throw new HttpProblem(503, options.why(), { type: 'unreachable', retryAfterSeconds: 2 });
  };
  const routesOf = (scope: FastifyInstance) => {
    ingestRoutes(scope, options);
    if (options.serving) classifyRoutes(scope, options.serving);
    livenessRoutes(scope, options);
  };
  return frame(options, routesOf, notYet);
}

/** A server with limits, headers, errors and description, and the routes that `add` adds. */
function frame(
  { log, tokens }: { readonly log?: FastifyBaseLogger } & SessionDeps,
  add: (scope: FastifyInstance) => void,
  otherwise: (request: FastifyRequest, reply: FastifyReply) => unknown = notFound,
): FastifyInstance {
  const app = fastify({
    serverFactory: (listener) => new DrainingServer(listener),
    clientErrorHandler: () => {}, // the server answers malformed requests itself
    bodyLimit: MAX_BODY_BYTES,
    logController: new LogController({ disableRequestLogging: true }),
    ...(log && { loggerInstance: log }),
    // The router measures ids as validation does: in decoded UTF-16 code units.
    routerOptions: { maxParamLength: MAX_ID },
    frameworkErrors: (error, request, reply) => void refuse(error, request, reply),
    ajv: {
      customOptions: {
        coerceTypes: 'array',
        removeAdditional: false,
        // Otherwise Ajv would check every item of a list that is too long, and report a million problems.
        allErrors: false,
        // Otherwise Ajv would not compare `Infinity` in a query with minimum and maximum.
        strictNumbers: false,
      },
    },
  }) as FastifyInstance;
  // A foreign page may send text/plain without a preflight request, and no route needs it.
  app.removeContentTypeParser('text/plain');
  readJson(app, 'error');
  refuseEncoded(app);
  app.setErrorHandler((error: FastifyError, request, reply) => refuse(error, request, reply));
  app.setNotFoundHandler(otherwise);
  // Response schemas only describe; the returned object is sent unchanged.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'", 'data:'],
        fontSrc: ["'self'"],
        connectSrc: ["'self'"],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    referrerPolicy: { policy: 'same-origin' },
    // The server can't know whether a proxy terminates TLS; that proxy sets this header.
    strictTransportSecurity: false,
  });
  guardRoutes(app, tokens);
  // Routes without their own limit would share one counter, so that a busy route would block the others.
  app.addHook('onRoute', (route) => {
    route.config = { rateLimit: {}, ...route.config };
  });
  app.register(rateLimit, {
    max: MAX_REQUESTS_A_MINUTE,
    // Evaluated per request, because a group of routes may set this after the limit, as the pages' files do.
    allowList: ({ routeOptions }) => routeOptions.config.rateLimit === false,
    keyGenerator: ({ caller, ip }) => (caller?.name == null ? ip : `token ${caller.name}`),
  });
  describeApi(app);
  // In a separate scope that starts after the plugins above, so that they see every route.
  app.register((scope, _options, done) => {
    add(scope);
    done();
  });
  return app;
}
