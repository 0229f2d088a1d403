/** The review queue over HTTP: the list, the next items, and answers. */
import type { FastifyInstance, FastifyRequest, preValidationHookHandler } from 'fastify';
import type { Pool } from 'pg';
import { idProblems, MAX_ID } from '../policy/validation.ts';
import { InputError, parseReview } from '../producers/inputs.ts';
import { refuseWithdrawalsOfOthers, submitAnswers } from '../review/answers.ts';
import type { AnswerDeps } from '../review/answers.ts';
import type { QueueFilter } from '../review/filter.ts';
import { readLabels } from '../review/labels.ts';
import { LEASE_MINUTES, leaseNext, release } from '../review/leases.ts';
import type { Holder } from '../review/leases.ts';
import { readProgress } from '../review/progress.ts';
import { countWaiting, readQueue, readTasks } from '../review/tasks.ts';
import type { ReviewSubmitted } from '../schemas/types.ts';
import { ownNameOnly } from './access.ts';
import { keptAnswers, withAge } from './kept-answers.ts';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';
import type { FieldProblem } from './problem.ts';
import { traceHeader, traceOf } from './traced.ts';

/** The dependencies of the routes. */
export interface ReviewDeps extends AnswerDeps {
  /** For the labels, which are counted over all conversations. */
  readonly scans: Pick<Pool, 'query'>;
}

const tags = ['review'];
const config = { role: 'review' } as const;
const name = { type: 'string', minLength: 1, maxLength: MAX_ID } as const;
const filter = {
  module: { type: 'string', maxLength: 100 },
  language: { type: 'string', maxLength: 100 },
  route: { enum: ['needs-review', 'priority-review'] },
} as const;
const holder = {
  reviewer: { ...name, description: 'who answers' },
  session: { ...name, description: 'one open page or terminal; a new one for each' },
} as const;
const MAX_ITEMS = 50;
/** An item and its near-duplicates; a page splits more answers into several requests. */
const MAX_ANSWERS = 200;
const MAX_LISTED = 200;
const MAX_JOINED = 100;
/** More than will ever wait, and less than Postgres' largest integer. */
const MAX_OFFSET = 1e9;

/**
 * With a token, its name is the reviewer, and answers under another name are refused. Without one, the request names
 * the reviewer.
 */
interface HolderBody {
  readonly reviewer?: string;
  readonly session: string;
}

interface NextBody extends HolderBody, QueueFilter {
  readonly count: number;
  readonly first?: string;
  readonly join?: { readonly lead: string; readonly ids: readonly string[] };
  readonly since?: string;
}

interface AnswersBody extends HolderBody {
  readonly source?: 'inbox' | 'cli';
  readonly new_label?: boolean;
  readonly answers: readonly Record<string, unknown>[];
}

/** Adds `/v1/review-queue` and its subroutes. */
export function reviewQueueRoutes(app: FastifyInstance, deps: ReviewDeps): void {
  listRoutes(app, deps);
  workRoutes(app, deps);
}

function listRoutes(app: FastifyInstance, { pool, scans }: ReviewDeps): void {
  app.get<{ Querystring: QueueFilter & { limit: number; offset: number } }>(
    '/v1/review-queue',
    {
      config,
      schema: {
        tags,
        summary: 'The conversations that wait for a person, the most useful first',
        querystring: {
          type: 'object',
          properties: {
            ...filter,
            limit: { type: 'integer', minimum: 1, maximum: MAX_LISTED, default: 20 },
            offset: { type: 'integer', minimum: 0, maximum: MAX_OFFSET, default: 0 },
          },
        },
        response: refusals(400, 503),
      },
    },
    ({ query: { limit, offset, ...by } }) => readQueue(pool, by, limit, offset),
  );
  const labels = keptAnswers(() => readLabels(scans));
  app.get(
    '/v1/labels',
    {
      config,
      schema: {
        tags,
        summary: 'Labels that a correction may choose from, the most frequent first',
        description:
          'An answer is cached like those of `/v1/kpis`; a label that was just given for the first time appears in the next one.',
        response: refusals(503),
      },
    },
    async (_request, reply) => withAge(reply, await labels()),
  );
}

/**
 * Null means absent, as in the records of the ingest routes; the schema's type coercion would make it an empty string.
 */
const preValidation: preValidationHookHandler = (request, _reply, done) => {
  const { body } = request;
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    request.body = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  done();
};

function workRoutes(app: FastifyInstance, deps: ReviewDeps): void {
  const { pool } = deps;
  app.post<{ Body: NextBody }>(
    '/v1/review-queue/next',
    {
      config,
      preValidation,
      schema: {
        tags,
        summary: `The next items, lent to one page for ${String(LEASE_MINUTES)} minutes: nobody else gets them meanwhile. Another request renews the lease`,
        body: {
          type: 'object',
          required: ['session'],
          additionalProperties: false,
          properties: {
            ...holder,
            ...filter,
            count: { type: 'integer', minimum: 1, maximum: MAX_ITEMS, default: 5 },
            first: { ...name, description: 'the item to return first, if nobody else has it' },
            join: {
              type: 'object',
              required: ['lead', 'ids'],
              additionalProperties: false,
              description: 'similar items to answer together with `lead`; those that somebody else has are left out',
              properties: { lead: name, ids: { type: 'array', items: name, minItems: 1, maxItems: MAX_JOINED } },
            },
            since: {
              type: 'string',
              format: 'date-time',
              description: 'the start of the day that the progress counts',
            },
          },
        },
        response: refusals(400, 503),
      },
    },
    async (request) => {
      const { count, first, join, since, module, language, route } = request.body;
      const who = holderOf(request);
      const day = since === undefined ? new Date(new Date().setHours(0, 0, 0, 0)) : new Date(since);
      // A leap second, which JavaScript does not support.
      if (Number.isNaN(day.getTime()))
        throw new HttpProblem(400, `since is ${String(since)}; leave the leap second out.`, {
          type: 'invalid-request',
        });
      const lent = leaseNext(pool, who, { module, language, route }, count, { first, join });
      const [items, waiting, progress] = await Promise.all([
        lent.then((ids) => readTasks(pool, who, ids)),
        countWaiting(pool, who.reviewer),
        readProgress(pool, who.reviewer, day),
      ]);
      return { reviewer: who.reviewer, items, ...waiting, progress };
    },
  );
  app.post<{ Body: AnswersBody }>('/v1/review-queue/answers', answersOptions(), async (request, reply) => {
    const who = holderOf(request);
    refuseOfAnother(request, who);
    const reviews = parseAnswers(request.body, who, Date.now());
    const newLabels = request.body.new_label ?? false;
    const own = ownNameOnly(request.caller);
    if (own !== undefined) await refuseWithdrawalsOfOthers(pool, own, reviews);
    const stored = await submitAnswers(deps, who, reviews, { newLabels, ...traceOf(request) });
    return reply.code(202).send({ accepted: stored.length, ids: reviews.map(({ review_id }) => review_id) });
  });
  app.post<{ Body: HolderBody }>(
    '/v1/review-queue/release',
    {
      config,
      preValidation,
      schema: {
        tags,
        summary: 'Returns the items that a page has not answered',
        body: { type: 'object', required: ['session'], additionalProperties: false, properties: holder },
        response: refusals(400, 503),
      },
    },
    async (request, reply) => {
      await release(pool, holderOf(request));
      return reply.code(204).send();
    },
  );
}

function answersOptions() {
  return {
    config,
    preValidation,
    schema: {
      tags,
      summary: 'Answers and undos of one person; stored completely or not at all, and a repeated review_id counts once',
      headers: traceHeader,
      body: {
        type: 'object',
        required: ['session', 'answers'],
        additionalProperties: false,
        properties: {
          ...holder,
          source: { enum: ['inbox', 'cli'] },
          new_label: { type: 'boolean', description: 'accepts a label that no conversation has had so far' },
          answers: {
            type: 'array',
            minItems: 1,
            maxItems: MAX_ANSWERS,
            items: {
              type: 'object',
              required: ['review_id', 'conversation_id', 'verdict', 'reviewed_at'],
              description: 'a review as for POST /v1/reviews, without reviewer and source',
            },
          },
        },
      },
      response: refusals(400, 404, 409, 410, 422, 503),
    },
  } as const;
}

/** With a token, its name is the reviewer; without, the request names one. */
function holderOf(request: FastifyRequest<{ Body: HolderBody }>): Holder {
  const { session } = request.body;
  const reviewer = request.caller?.name ?? request.body.reviewer ?? '';
  const problems = idProblems('reviewer', reviewer);
  if (problems.length > 0)
    throw new HttpProblem(400, 'The reviewer is missing or not valid.', { type: 'invalid-request', problems });
  return { reviewer, session };
}

/** Refuses answers that were waiting in a browser when another person signed in there. */
function refuseOfAnother({ body: { reviewer } }: FastifyRequest<{ Body: HolderBody }>, who: Holder): void {
  if (reviewer === undefined || reviewer === who.reviewer) return;
  const detail = `The answers are from ${reviewer}, but the token belongs to ${who.reviewer}. Nothing of the request was stored.`;
  throw new HttpProblem(409, detail);
}

function parseAnswers({ answers, source }: AnswersBody, { reviewer }: Holder, now: number): readonly ReviewSubmitted[] {
  const problems: FieldProblem[] = [];
  const reviews = answers.flatMap((answer, i) => {
    try {
      return [parseReview({ ...answer, reviewer, source: source ?? 'inbox' }, now)];
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      problems.push(...error.problems.map((problem) => ({ line: i + 1, ...problem })));
      return [];
    }
  });
  if (problems.length > 0)
    throw new HttpProblem(400, 'The answers are not valid; nothing of the request was stored.', {
      type: 'invalid-records',
      problems,
    });
  return reviews;
}
