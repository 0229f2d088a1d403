/** `GET /v1/conversations`: searches conversations by text and state. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { canonicalTag } from '../policy/language.ts';
import { MAX_ID } from '../policy/validation.ts';
import { refusals } from './openapi.ts';

/** The dependencies of the route. */
export interface SearchDeps {
  readonly scans: Pick<Pool, 'query'>;
}

/** Columns that can be filtered by an exact value. */
const FILTERS = [
  'route',
  'review_status',
  'language',
  'nlu_module',
  'nlu_intent',
  'nlu_provider',
  'model_version',
] as const;

type Query = Partial<Record<(typeof FILTERS)[number] | 'q' | 'before' | 'before_id', string>> & {
  readonly limit: number;
};

/** Adds the route. */
export function searchRoutes(app: FastifyInstance, { scans }: SearchDeps): void {
  app.get<{ Querystring: Query }>(
    '/v1/conversations',
    {
      config: { role: 'read' },
      schema: {
        tags: ['read'],
        summary: 'Conversations, newest first',
        querystring: {
          type: 'object',
          properties: {
            q: { type: 'string', maxLength: 200, description: 'the id, or a part of the message' },
            ...Object.fromEntries(FILTERS.map((name) => [name, { type: 'string', maxLength: 200 }])),
            before: {
              type: 'string',
              format: 'date-time',
              description: '`created_at` of the last conversation of the previous page',
            },
            before_id: {
              type: 'string',
              maxLength: MAX_ID,
              description:
                'with `before`: `conversation_id` of the last conversation of the previous page, so that none with the same time is skipped',
            },
            limit: { type: 'integer', minimum: 1, maximum: 500, default: 50 },
          },
          dependencies: { before_id: ['before'] },
        },
        response: refusals(400, 503),
      },
    },
    async ({ query }) => {
      const found = async ({ sql, values }: Statement) => (await scans.query<object>(sql, values)).rows;
      const byId = query.q && query.before === undefined ? await found(statement(query, 'id')) : [];
      return byId.length > 0 ? byId : found(statement(query, 'message'));
    },
  );
}

interface Statement {
  readonly sql: string;
  readonly values: unknown[];
}

/**
 * The statement that searches for `q` as the id or as part of the message. They are separate statements, because with
 * both conditions no index would find the id. Values are parameters, and LIKE wildcards in them are escaped.
 */
function statement(query: Query, q: 'id' | 'message'): Statement {
  const values: unknown[] = [];
  const parameter = (value: unknown) => `$${String(values.push(value))}`;
  const clean = (text: string) => text.replaceAll('\0', '');
  const conditions = FILTERS.flatMap((name) => {
    const value = query[name];
    if (value === undefined || value === '') return [];
    // Intake writes language tags in one case.
    return [`${name} = ${parameter(clean(name === 'language' ? canonicalTag(value) : value))}`];
  });
  const { before, before_id } = query;
  const wanted = clean(query.q ?? '');
  if (q === 'id') conditions.push(`conversation_id = ${parameter(wanted)}`);
  else if (wanted !== '')
    conditions.push(`user_message ILIKE ${parameter(`%${wanted.replaceAll(/[\\%_]/g, '\\$&')}%`)}`);
  if (before !== undefined && before_id !== undefined)
    conditions.push(`(created_at, conversation_id) < (${parameter(before)}, ${parameter(clean(before_id))})`);
  else if (before !== undefined) conditions.push(`created_at < ${parameter(before)}`);
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
  const sql = `SELECT conversation_id, user_message, language, nlu_intent, nlu_module, nlu_confidence, nlu_provider, model_version,
       route, review_status, created_at FROM shown_conversations ${where} ORDER BY created_at DESC, conversation_id DESC LIMIT ${parameter(query.limit)}`;
  return { sql, values };
}
