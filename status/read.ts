/** What the log holds, read from Postgres. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { refusals } from './openapi.ts';
import { HttpProblem, shorten } from './problem.ts';

/** What the read routes ask. */
export interface ReadDeps {
  readonly pool: Pick<Pool, 'query'>;
}

/** Adds `/v1/conversations/:id`. */
export function readRoutes(app: FastifyInstance, { pool }: ReadDeps): void {
  const tags = ['read'];
  app.get<{ Params: { id: string } }>(
    '/v1/conversations/:id',
    {
      config: { role: 'read' },
      schema: {
        tags,
        summary: 'One conversation and what became of it',
        params: { type: 'object', properties: { id: { type: 'string' } } },
        response: refusals(404, 503),
      },
    },
    async ({ params: { id } }) => {
      // Postgres has no text with a zero character, so no row has such an id.
      const { rows } = id.includes('\0')
        ? { rows: [] }
        : await pool.query<Record<string, unknown>>('SELECT * FROM conversation_logs WHERE conversation_id = $1', [id]);
      const [row] = rows;
      if (row) return row;
      const what = JSON.stringify(shorten(id));
      throw new HttpProblem(404, `There is no conversation ${what} yet; one that was just accepted takes a moment.`);
    },
  );
}
