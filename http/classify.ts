/**
 * `POST /v1/classify`: one or many texts, answered by the versions in charge, with the route under the policy in force.
 */
import type { FastifyInstance, RouteShorthandOptions } from 'fastify';
import { withCanonicalTag } from '../policy/language.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import { idProblems, languageProblems } from '../policy/validation.ts';
import type { Problem } from '../policy/validation.ts';
import { untraced } from '../runtime/tracing.ts';
import type { Tracing } from '../runtime/tracing.ts';
import type { Classifier, Question } from '../serving/classifier.ts';
import { parseTraceparent } from '../stream/trace.ts';
import { refusals } from './openapi.ts';
import { HttpProblem, unknownName } from './problem.ts';
import type { FieldProblem } from './problem.ts';
import { traceHeader, traceOf } from './traced.ts';

/** The dependencies of the route. */
export interface ClassifyDeps {
  readonly classifier: Pick<Classifier, 'classify'>;
  /** The policy in force. */
  readonly policy: () => RoutingPolicy;
  readonly tracing?: Pick<Tracing, 'request'>;
}

/** The most texts per request, and the most UTF-16 code units per text. */
const MAX_TEXTS = 10_000;
const MAX_TEXT = 131_072;
const MAX_BODY_BYTES = 16 * 1024 * 1024;
const MAX_REQUESTS_A_MINUTE = 120_000;
const MAX_PROBLEMS = 100;
/** The most unknown fields that are named of a text. */
const MAX_UNKNOWN = 10;
/** "Undetermined" in BCP 47. */
const NO_LANGUAGE = 'und';
const FIELDS = new Set(['text', 'language', 'conversation_id']);

const question = {
  type: 'object',
  required: ['text'],
  additionalProperties: false,
  properties: {
    text: { type: 'string', minLength: 1, maxLength: MAX_TEXT },
    language: { type: 'string', description: 'BCP 47; the policy may have thresholds for it' },
    conversation_id: {
      type: 'string',
      description: 'keeps a conversation with one version while the traffic is split',
    },
  },
};
const label = { intent: { type: 'string' }, module: { type: 'string' }, confidence: { type: 'number' } };
const result = {
  type: 'object',
  properties: {
    ...label,
    out_of_scope: { type: 'boolean', description: "the confidence is below the model's threshold" },
    runners_up: { type: 'array', items: { type: 'object', properties: label } },
    version: { type: 'string', description: 'who answered' },
    route: { enum: ['auto-approved', 'needs-review', 'priority-review'] },
    route_reasons: { type: 'array', items: { type: 'string' } },
    policy_version: { type: 'string' },
    problem: { type: 'string', description: 'in a batch: why this server has no answer to this text' },
  },
};
const options: RouteShorthandOptions = {
  bodyLimit: MAX_BODY_BYTES,
  config: { role: 'ingest', rateLimit: { max: MAX_REQUESTS_A_MINUTE } },
  // Validated in the handler, so that the problem names the position of each invalid text in a batch; the schema only
  // describes.
  validatorCompiler: () => () => true,
  schema: {
    tags: ['models'],
    summary: 'Intent and module of a text, or of many: an object for an object, an array for an array',
    headers: traceHeader,
    body: { anyOf: [question, { type: 'array', items: question, maxItems: MAX_TEXTS }] },
    response: {
      200: { description: 'answers in the order of the request', anyOf: [result, { type: 'array', items: result }] },
      ...refusals(400, 413, 415, 503),
    },
  },
};

/** Adds the route. */
export function classifyRoutes(app: FastifyInstance, { classifier, policy, tracing = untraced }: ClassifyDeps): void {
  app.post('/v1/classify', options, (request) => {
    const caller = parseTraceparent(traceOf(request).traceparent ?? '') ?? undefined;
    return tracing.request('POST /v1/classify', caller, () => answer(request.body));
  });

  async function answer(body: unknown) {
    const questions = questionsOf(body);
    const results = await classifier.classify(questions, policy());
    const unserved = results.flatMap((one) => ('problem' in one ? [one.problem] : []));
    if (results.length > 0 && unserved.length === results.length)
      throw new HttpProblem(503, unserved[0] ?? '', { type: 'not-served', retryAfterSeconds: 5 });
    return Array.isArray(body) ? results : results[0];
  }
}

/** The texts of a request. @throws HttpProblem naming every invalid field; then no text is answered. */
function questionsOf(body: unknown): readonly Question[] {
  const items: readonly unknown[] = Array.isArray(body) ? body : [body];
  if (items.length > MAX_TEXTS)
    throw new HttpProblem(400, `The request has ${items.length} texts; at most ${MAX_TEXTS} are answered at once.`, {
      type: 'invalid-request',
    });
  const problems: FieldProblem[] = [];
  const questions = items.map((item, i) => {
    const found = problemsOf(item);
    for (const problem of found.slice(0, MAX_PROBLEMS - problems.length))
      problems.push(Array.isArray(body) ? { line: i + 1, ...problem } : problem);
    const { text, language, conversation_id: id } = (item ?? {}) as Record<string, string | undefined>;
    return { text: text ?? '', language: language ?? NO_LANGUAGE, conversationId: id ?? null };
  });
  if (problems.length > 0)
    throw new HttpProblem(
      400,
      'The request does not match the description of the API; none of its texts was answered.',
      {
        type: 'invalid-request',
        problems,
      },
    );
  return questions.map(withCanonicalTag);
}

function problemsOf(item: unknown): readonly Problem[] {
  if (typeof item !== 'object' || item === null || Array.isArray(item))
    return [{ field: 'body', message: 'It is not an object with the field text.' }];
  const { text, language, conversation_id: id } = item as Record<string, unknown>;
  return [
    ...textProblems(text),
    ...stringProblems('language', language, languageProblems),
    ...stringProblems('conversation_id', id, idProblems),
    ...Object.keys(item)
      .filter((field) => !FIELDS.has(field))
      .slice(0, MAX_UNKNOWN)
      .map((field) => ({ field: unknownName(field), message: `The fields are ${[...FIELDS].join(', ')}.` })),
  ];
}

function textProblems(text: unknown): readonly Problem[] {
  if (typeof text !== 'string') return [{ field: 'text', message: 'It is not a string.' }];
  if (text.trim() === '') return [{ field: 'text', message: 'It is empty.' }];
  if (text.length <= MAX_TEXT) return [];
  return [{ field: 'text', message: `It has ${text.length} UTF-16 code units; at most ${MAX_TEXT} are read.` }];
}

function stringProblems(
  field: string,
  value: unknown,
  check: (field: string, value: string) => readonly Problem[],
): readonly Problem[] {
  if (value === undefined || value === null) return [];
  return typeof value === 'string' ? check(field, value) : [{ field, message: 'It is not a string.' }];
}
