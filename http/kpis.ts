/** Routes for the key figures and the accuracy in production. */
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { dayOf, isDay } from '../kpi/day.ts';
import type { Day } from '../kpi/day.ts';
import { accuracyRange, readAccuracy } from '../kpi/read-accuracy.ts';
import type { AccuracyRange } from '../kpi/read-accuracy.ts';
import { readAgreement } from '../kpi/read-agreement.ts';
import { readKpis } from '../kpi/read-kpis.ts';
import { keptAnswers, withAge } from './kept-answers.ts';
import { refusals } from './openapi.ts';
import { HttpProblem, shorten } from './problem.ts';

/** The dependencies of the routes. */
export interface KpiDeps {
  readonly scans: Pick<Pool, 'query'>;
}

const day = (description: string) => ({ type: 'string', description: `${description}, such as 2026-11-25` }) as const;

/** Adds `GET /v1/kpis`, `GET /v1/accuracy`, `GET /v1/review-agreement` and the daily reports. */
export function kpiRoutes(app: FastifyInstance, { scans }: KpiDeps): void {
  reportRoutes(app, scans);
  const kpis = keptAnswers((date: Day) => readKpis(scans, date));
  const accuracy = keptAnswers((range: AccuracyRange) => readAccuracy(scans, range));
  const tags = ['read'];
  app.get<{ Querystring: { date?: string } }>(
    '/v1/kpis',
    {
      config: { role: 'read' },
      schema: {
        tags,
        summary: 'The key figures with target, value, trend and advice, over the seven days (UTC) that end with a day',
        description:
          'An answer is cached for nineteen times its computation time, less than a minute for a million conversations; the header `age` ' +
          'has its age in seconds.',
        querystring: { type: 'object', properties: { date: day('the last day; today if absent') } },
        response: refusals(400, 503),
      },
    },
    async ({ query: { date } }, reply) => withAge(reply, await kpis(checked('date', date) ?? dayOf(Date.now()))),
  );
  app.get<{ Querystring: { from?: string; to?: string; version?: string } }>(
    '/v1/accuracy',
    {
      config: { role: 'read' },
      schema: {
        tags,
        summary: 'Accuracy in production by version, predicted intent and language, corrected for what people see',
        description: 'An answer is cached like those of `/v1/kpis`.',
        querystring: {
          type: 'object',
          properties: {
            from: day('first day (UTC) of the conversations; 30 days if absent'),
            to: day('last day; today if absent'),
            version: { type: 'string', description: 'only answers of this version' },
          },
        },
        response: refusals(400, 503),
      },
    },
    async ({ query: { from, to, version } }, reply) => {
      const range = accuracyRange(checked('to', to) ?? dayOf(Date.now()));
      const kept = await accuracy({
        to: range.to,
        from: checked('from', from) ?? range.from,
        ...(version !== undefined && { version: version.replaceAll('\0', '') }),
      });
      return withAge(reply, kept);
    },
  );
  const agreement = keptAnswers(() => readAgreement(scans));
  app.get(
    '/v1/review-agreement',
    {
      config: { role: 'read' },
      schema: {
        tags: ['review'],
        summary: "Cohen's kappa over conversations that two people answered",
        description: 'An answer is cached like those of `/v1/kpis`.',
        response: refusals(503),
      },
    },
    async (_, reply) => withAge(reply, await agreement()),
  );
}

/** Adds `GET /v1/daily-reports` and `/v1/daily-reports/:day`. */
function reportRoutes(app: FastifyInstance, scans: KpiDeps['scans']): void {
  const tags = ['read'];
  app.get(
    '/v1/daily-reports',
    {
      config: { role: 'read' },
      schema: { tags, summary: 'The closed days (UTC), newest first', response: refusals(503) },
    },
    async () => (await scans.query<object>('SELECT day, closed_at FROM daily_reports ORDER BY day DESC')).rows,
  );
  app.get<{ Params: { day: string } }>(
    '/v1/daily-reports/:day',
    {
      config: { role: 'read' },
      schema: {
        tags,
        summary: 'The report on a closed day, as in its file',
        params: { type: 'object', properties: { day: day('the day') } },
        response: refusals(400, 404, 503),
      },
    },
    async ({ params }) => {
      const wanted = checked('day', params.day);
      const { rows } = await scans.query<{ report: string }>('SELECT report FROM daily_reports WHERE day = $1', [
        wanted,
      ]);
      if (rows[0]) return JSON.parse(rows[0].report) as object;
      throw new HttpProblem(
        404,
        `${params.day} is not closed; the daily job closes it (\`samvad daily --date ${params.day}\`).`,
      );
    },
  );
}

/**
 * A valid day. It must leave room for the days around it that the figures use, whose year must have four digits too.
 */
function checked(name: string, text: string | undefined): string | undefined {
  if (text === undefined || isDay(text)) return text;
  throw new HttpProblem(400, `${name} is ${JSON.stringify(shorten(text))}; write a day such as 2026-11-25.`);
}
