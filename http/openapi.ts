/** The description of the API, generated from the routes' schemas: `/docs` for people, `/docs/json` for programs. */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { PROBLEM_TYPES } from './problem.ts';
import type { Role } from './roles.ts';

/** The schema of every error response. */
const problemSchema = {
  $id: 'Problem',
  type: 'object',
  description: 'Problem details, RFC 9457',
  required: ['type', 'title', 'status', 'detail'],
  properties: {
    type: { enum: ['about:blank', ...Object.keys(PROBLEM_TYPES).map((name) => `urn:samvad:problem:${name}`)] },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string', description: 'a sentence that says what to do' },
    problems: {
      type: 'array',
      items: {
        type: 'object',
        required: ['field', 'message'],
        properties: {
          line: { type: 'integer', description: 'the position of the record in a batch, from 1' },
          field: { type: 'string' },
          message: { type: 'string' },
        },
      },
    },
  },
} as const;

/** Shared error responses for `schema.response`. */
export function refusals<S extends number>(...statuses: readonly S[]): Record<S, object> {
  const answer = { content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } } };
  return Object.fromEntries(statuses.map((status) => [status, { description: 'refused', ...answer }])) as Record<
    S,
    object
  >;
}

/** The interface of `/docs` sets inline styles; everything else is as strict as for the pages. */
const DOCS_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Describes all routes registered after this call. */
export function describeApi(app: FastifyInstance): void {
  app.addSchema(problemSchema);
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Samvad',
        version: '1',
        description:
          'Accepts the conversations of an NLU service and reviewers’ answers, and serves the results. ' +
          'Errors are problem details (RFC 9457).',
      },
      tags: [
        { name: 'ingest', description: 'sending traffic into the log' },
        { name: 'read', description: 'conversations, figures and reports' },
        { name: 'review', description: 'the review queue and answers to it' },
        { name: 'models', description: 'classification, and the versions and their origin' },
        { name: 'health', description: 'the state of the process' },
        { name: 'operate', description: 'operation of the pipeline: policies, dead letters, erasures' },
        { name: 'session', description: 'signing in with a browser' },
      ],
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    hideUntagged: true,
    transform: ({ schema, url, route }) => ({ url, schema: { ...schema, ...roleOf(route.config?.role, schema) } }),
    refResolver: {
      buildLocalReference: (schema, _base, _fragment, i) =>
        typeof schema['$id'] === 'string' ? schema['$id'] : `def-${String(i)}`,
    },
  });
  // Needs its own content security policy, because the interface sets inline styles.
  app.register((docs, _options, done) => {
    docs.addHook('onRoute', (route) => {
      route.config = { ...route.config, role: 'read' };
    });
    docs.register(swaggerUi, { routePrefix: '/docs', staticCSP: DOCS_POLICY, uiConfig: { docExpansion: 'list' } });
    done();
  });
}

/** Adds the required role to the description of a route. */
function roleOf(role: Role | 'anyone' = 'operate', { description = '' }: { description?: string } = {}): object {
  if (role === 'anyone') return { description: `For anyone. ${description}`.trim(), security: [] };
  return { description: `For tokens with the role \`${role}\`. ${description}`.trim(), 'x-role': role };
}
