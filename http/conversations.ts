/** `GET /v1/conversations/:id`: one conversation, its standing and its timeline. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { erasedAmong, erasedSentence } from '../review/erased.ts';
import { readHistory } from '../review/history.ts';
import { refusals } from './openapi.ts';
import { HttpProblem, shorten } from './problem.ts';

/** The dependencies of the route. */
export interface ConversationDeps {
  readonly pool: Pick<Pool, 'query'>;
}

/** Adds the route. */
export function conversationRoutes(app: FastifyInstance, { pool }: ConversationDeps): void {
  app.get<{ Params: { id: string } }>(
    '/v1/conversations/:id',
    {
      config: { role: 'read' },
      schema: {
        tags: ['read'],
        summary:
          'One conversation with its standing, its timeline (captured, routed, reviewed, samples), and the versions trained on it',
        params: { type: 'object', properties: { id: { type: 'string' } } },
        response: refusals(404, 410, 503),
      },
    },
    async ({ params: { id } }) => {
      const history = await readHistory(pool, id);
      if (history) return history;
      const [erased] = await erasedAmong(pool, [id]);
      if (erased) throw new HttpProblem(410, erasedSentence(erased), { type: 'erased' });
      const what = JSON.stringify(shorten(id));
      throw new HttpProblem(404, `There is no conversation ${what} yet; one that was just accepted takes a moment.`);
    },
  );
}
