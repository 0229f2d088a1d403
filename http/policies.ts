/** Routing policies over HTTP: history, what-if and adoption. */
import type { FastifyInstance } from 'fastify';
import { DAY_MS } from '../kpi/day.ts';
import { adoptPolicy, policyHistory } from '../operations/policy.ts';
import type { PolicyDeps } from '../operations/policy.ts';
import { whatIf } from '../operations/what-if.ts';
import { SECONDS_PER_ANSWER } from '../policy/kpis.ts';
import { InputError } from '../producers/inputs.ts';
import { parsePolicy, policyJsonSchema } from '../producers/policy-input.ts';
import type { RoutingPolicy } from '../schemas/types.ts';
import { refusals } from './openapi.ts';
import { HttpProblem, shorten } from './problem.ts';

/** The dependencies of the routes. */
export interface PoliciesDeps {
  readonly policies: PolicyDeps;
}

/** A what-if reads the log twice; more at a time would only slow each other down. */
const MAX_WHAT_IFS_A_MINUTE = 12;
const tags = ['operate'];

/** Adds `/v1/policies` and `/v1/policies/what-if`. */
export function policiesRoutes(app: FastifyInstance, { policies }: PoliciesDeps): void {
  app.get(
    '/v1/policies',
    {
      config: { role: 'read' },
      schema: { tags, summary: 'Every policy that came into force, oldest first', response: refusals(503) },
    },
    () => policyHistory(policies.pool),
  );
  app.post<{ Body: unknown }>(
    '/v1/policies/what-if',
    {
      config: { role: 'read', rateLimit: { max: MAX_WHAT_IFS_A_MINUTE } },
      schema: {
        tags,
        summary: 'What another policy would have done with the conversations of the last days; changes nothing',
        body: {
          type: 'object',
          required: ['policy'],
          properties: {
            policy: policyJsonSchema,
            days: { type: 'number', exclusiveMinimum: 0, description: 'all days if absent' },
          },
        },
        response: refusals(400, 429, 503),
      },
      validatorCompiler: () => () => true,
    },
    async ({ body }) => {
      const { policy: proposed, days } = fieldsOf(body);
      if (days !== undefined && !(typeof days === 'number' && days > 0))
        throw new HttpProblem(400, `days is ${shorten(JSON.stringify(days))}; it must be a number above 0.`);
      const policy = read(proposed);
      const from = days && { from: Date.now() - days * DAY_MS };
      return whatIf(policies, { policy, secondsPerAnswer: SECONDS_PER_ANSWER, examples: 3, ...from });
    },
  );
  app.post<{ Body: unknown }>(
    '/v1/policies',
    {
      config: { role: 'operate' },
      schema: {
        tags,
        summary: 'Adopt a policy; it routes the conversations that arrive after that',
        body: {
          type: 'object',
          required: ['policy', 'reason'],
          properties: {
            policy: policyJsonSchema,
            reason: { type: 'string', description: 'for the history' },
            adopted_by: {
              type: 'string',
              description: 'used if the server has no tokens; otherwise it is the name of the token',
            },
          },
        },
        response: refusals(400, 503),
      },
      validatorCompiler: () => () => true,
    },
    async ({ body, caller }) => {
      const { policy, reason, adopted_by } = fieldsOf(body);
      const adoption = { policy: read(policy), reason: text(reason), adopted_by: caller?.name ?? text(adopted_by) };
      const outcome = await adoptPolicy(policies, adoption).catch((error: unknown) => {
        throw error instanceof InputError ? refused(error) : error;
      });
      return { version: adoption.policy.version, outcome };
    },
  );
}

/** Checked in code, so that the messages match the command line; the schema only describes. */
function fieldsOf(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...body };
  throw new HttpProblem(400, 'The body must be a JSON object with a policy.', { type: 'invalid-request' });
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function read(json: unknown): RoutingPolicy {
  try {
    return parsePolicy(json);
  } catch (error) {
    throw error instanceof InputError ? refused(error) : error;
  }
}

function refused({ problems }: InputError): HttpProblem {
  const [first] = problems;
  return new HttpProblem(400, `The policy can't be adopted: ${first?.field ?? ''}: ${first?.message ?? ''}`, {
    type: 'invalid-request',
    problems,
  });
}
