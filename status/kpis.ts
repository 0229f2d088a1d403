/** The key figures over HTTP. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { dayOf, isDay } from '../kpi/day.ts';
import { readKpis } from '../kpi/read-kpis.ts';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';

/** What the route asks. */
export interface KpiDeps {
  readonly pool: Pick<Pool, 'query'>;
}

/** Adds `GET /v1/kpis`. */
export function kpiRoutes(app: FastifyInstance, { pool }: KpiDeps): void {
  app.get<{ Querystring: { date?: string } }>(
    '/v1/kpis',
    {
      config: { role: 'read' },
      schema: {
        tags: ['read'],
        summary: 'The key figures with target, value, trend and advice, over the seven days (UTC) that end with a day',
        querystring: {
          type: 'object',
          properties: { date: { type: 'string', description: 'the last day, such as 2026-11-25; today where absent' } },
        },
        response: refusals(400, 503),
      },
    },
    ({ query: { date = dayOf(Date.now()) } }) => {
      if (!isDay(date)) throw new HttpProblem(400, `date is ${JSON.stringify(date)}; write a day such as 2026-11-25.`);
      return readKpis(pool, date);
    },
  );
}
