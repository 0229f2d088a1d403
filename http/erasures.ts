/** `/v1/erasures`: erases conversations and lists erasures. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { erase, NothingToErase } from '../operations/erasure.ts';
import type { ErasureDeps, ErasureSubject } from '../operations/erasure.ts';
import { idProblems, MAX_ID } from '../policy/validation.ts';
import { InputError, notA, orNull, parse, text } from '../producers/inputs.ts';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';

const tags = ['operate'];
const id = { type: 'string', minLength: 1, maxLength: MAX_ID } as const;
const SHOWN = 100;

/** Checked in code: the API's schemas coerce types, and an erasure by mistake can't be undone. */
const bodyShape = z.strictObject(
  { conversation_id: orNull(text), user_id: orNull(text), reason: text, requested_by: orNull(text) },
  { error: notA('a JSON object') },
);

/** Adds the routes. */
export function erasureRoutes(app: FastifyInstance, deps: ErasureDeps): void {
  app.get(
    '/v1/erasures',
    {
      config: { role: 'read' },
      schema: { tags, summary: `What was erased, newest first, ${SHOWN} at most`, response: refusals(503) },
    },
    async () => {
      const { rows } = await deps.pool.query<Record<string, unknown>>(
        `SELECT conversation_id, requested_by, reason, erased_at FROM erasures ORDER BY erased_at DESC, conversation_id LIMIT ${SHOWN}`,
      );
      return rows;
    },
  );
  app.post<{ Body: unknown }>(
    '/v1/erasures',
    {
      config: { role: 'operate' },
      schema: {
        tags,
        summary: 'Erase a conversation, or all present conversations of a user',
        description:
          '200 when no table has the conversations any more. 202 with the outcome `sent` when the erasures are in the log, but a component ' +
          'has not processed them yet; 202 with `spooled` when Kafka has not accepted them and they wait in the spool of the server. ' +
          'docs/erasure.md says what is deleted when.',
        body: {
          type: 'object',
          required: ['reason'],
          additionalProperties: false,
          properties: {
            conversation_id: { ...id, description: 'either this or user_id' },
            user_id: { ...id, description: 'either this or conversation_id' },
            reason: { type: 'string', description: 'stays in the history: a case number, nothing about the person' },
            requested_by: {
              type: 'string',
              description: 'used if the server has no tokens; otherwise it is the name of the token',
            },
          },
        },
        response: refusals(400, 404, 410, 503),
      },
      validatorCompiler: () => () => true,
    },
    async ({ body, caller }, reply) => {
      try {
        const { reason, requested_by, ...subject } = parse('request', bodyShape, body);
        const grounds = { reason, requested_by: caller?.name ?? requested_by ?? '' };
        const done = await erase(deps, subjectOf(subject), grounds);
        return await reply.code(done.outcome === 'erased' ? 200 : 202).send(done);
      } catch (error) {
        throw refusal(error);
      }
    },
  );
}

function refusal(error: unknown): unknown {
  if (error instanceof NothingToErase)
    return new HttpProblem(error.why === 'erased' ? 410 : 404, error.message, { type: error.why });
  if (!(error instanceof InputError)) return error;
  const { problems } = error;
  return new HttpProblem(400, 'The request is not valid; nothing was erased.', { type: 'invalid-request', problems });
}

function subjectOf({ conversation_id, user_id }: Record<'conversation_id' | 'user_id', string | null>): ErasureSubject {
  if (conversation_id !== null && user_id === null) return { conversation_id };
  if (conversation_id !== null || user_id === null)
    throw new HttpProblem(400, 'Say what to erase: either conversation_id or user_id.', { type: 'invalid-request' });
  const problems = idProblems('user_id', user_id);
  if (problems.length > 0) throw new InputError(problems);
  return { user_id };
}
