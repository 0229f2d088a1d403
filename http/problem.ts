/** Every error response as problem details (RFC 9457), with a sentence for the caller. */
import { STATUS_CODES } from 'node:http';
import { mayPass } from '../runtime/may-pass.ts';
import type { FastifyError, FastifyReply, FastifyRequest, FastifySchemaValidationError } from 'fastify';
import { MAX_ID } from '../policy/validation.ts';
import type { Problem } from '../policy/validation.ts';
import { NotPermitted, RecordTooLarge } from '../producers/kafka-link.ts';
import { SpoolFull, SpoolUnwritable } from '../producers/spool.ts';
import { AnswerRefused } from '../review/answers.ts';
import { Transient } from '../runtime/rdkafka.ts';
import { requestFields } from './traced.ts';

/** The problem of one field; `line` is the record's position in a batch, counted from 1. */
export type FieldProblem = Problem & { readonly line?: number };

/** Additional members of an error response. */
interface Details {
  /** The last part of the problem's type, one of `PROBLEM_TYPES`. */
  readonly type?: ProblemType;
  readonly problems?: readonly FieldProblem[];
  readonly retryAfterSeconds?: number;
}

/** The values of `type` after `urn:samvad:problem:`; absent (`about:blank`) when the status says enough. */
export const PROBLEM_TYPES = {
  'invalid-records': 'Records are invalid',
  'invalid-request': 'The request is invalid',
  'too-large': 'Too large',
  'media-type': 'Content type not accepted',
  'spool-full': 'The spool is full',
  'too-slow': 'The request takes too long',
  unreachable: 'A server behind this one does not answer',
  conflict: 'The state has changed meanwhile',
  'unknown-conversation': 'There is no such conversation',
  erased: 'The conversation was erased',
  'unknown-label': 'There is no such label',
  'not-yours': 'Another reviewer has answered this',
  'not-served': 'No model serves this',
} as const;

/** The type of a problem. */
export type ProblemType = keyof typeof PROBLEM_TYPES;

/** A route throws it to answer with this status and sentence. */
export class HttpProblem extends Error {
  readonly status: number;
  readonly details: Details;

  constructor(status: number, detail: string, details: Details = {}) {
    super(detail);
    this.status = status;
    this.details = details;
  }
}

/** Answers an error that a route threw. */
export function refuse(error: FastifyError | HttpProblem, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = problemOf(error, request);
  if (problem.status === 500) request.log.error({ err: error, ...requestFields(request) }, 'a request failed');
  else request.log.debug({ status: problem.status, ...requestFields(request) }, 'a request was refused');
  return sendProblem(reply, problem);
}

/** Answers a request for a route that does not exist. */
export function notFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return sendProblem(reply, new HttpProblem(404, `There is no ${request.method} ${pathOf(request)}.`));
}

function sendProblem(reply: FastifyReply, problem: HttpProblem): FastifyReply {
  const { retryAfterSeconds } = problem.details;
  if (retryAfterSeconds !== undefined) reply.header('retry-after', String(retryAfterSeconds));
  return reply.code(problem.status).type(PROBLEM_JSON).send(documentOf(problem));
}

/** The content type of a problem. */
export const PROBLEM_JSON = 'application/problem+json; charset=utf-8';

/** The body of an answer that reports the problem. */
export function documentOf({ status, message, details: { type, problems } }: HttpProblem): object {
  return {
    type: type === undefined ? 'about:blank' : `urn:samvad:problem:${type}`,
    title: type === undefined ? (STATUS_CODES[status] ?? 'Error') : PROBLEM_TYPES[type],
    status,
    detail: message,
    ...(problems && { problems }),
  };
}

/** The status for each reason why answers are refused. */
const REFUSED = { 'unknown-conversation': 404, erased: 410, 'unknown-label': 422, 'not-yours': 422 } as const;

function problemOf(error: FastifyError | HttpProblem, request: FastifyRequest): HttpProblem {
  if (error instanceof HttpProblem) return error;
  if (error instanceof AnswerRefused) {
    const { why, message, problems } = error;
    return new HttpProblem(REFUSED[why], message, { type: why, problems });
  }
  if (error instanceof RecordTooLarge) return new HttpProblem(413, error.message, { type: 'too-large' });
  if (error instanceof NotPermitted) return new HttpProblem(503, error.message, { retryAfterSeconds: 60 });
  if (error instanceof SpoolUnwritable) {
    const { message, retryAfterSeconds } = error;
    const detail = `${message} Records of this request that were stored can safely be sent again.`;
    const full = error instanceof SpoolFull && ({ type: 'spool-full' } as const);
    return new HttpProblem(503, detail, { ...full, retryAfterSeconds });
  }
  if (error instanceof Transient) {
    const detail = `Kafka does not answer: ${error.message}`;
    return new HttpProblem(503, detail, { type: 'unreachable', retryAfterSeconds: 5 });
  }
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    const limit = request.routeOptions.bodyLimit;
    const detail = `The body has more than ${String(limit)} bytes; send it in parts.`;
    return new HttpProblem(413, detail, { type: 'too-large' });
  }
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    const detail = 'Send application/json; for records also application/x-ndjson with one JSON object per line.';
    return new HttpProblem(415, detail, { type: 'media-type' });
  }
  if (error.validation) {
    const where = error.validationContext ?? 'request';
    const problems = error.validation.map((mistake) => fieldProblem(where, mistake));
    return new HttpProblem(400, `The ${where} does not match the description of the API.`, {
      type: 'invalid-request',
      problems,
    });
  }
  const status = error.statusCode ?? 500;
  if (status >= 400 && status < 500) {
    const detail = PATH_REFUSED[error.code] ?? `${shorten(error.message.replace(/\.$/, ''))}.`;
    return new HttpProblem(status, detail);
  }
  if (error.code === '57014') {
    const detail =
      'This takes the database too long; ask for less, for example with another filter or fewer days. If a table is being rebuilt, wait.';
    return new HttpProblem(503, detail, { type: 'too-slow', retryAfterSeconds: 60 });
  }
  if (error.message === NO_CONNECTION_FREE) {
    const detail =
      'No database connection became free: other requests take long, or the database does not answer. Try again soon.';
    return new HttpProblem(503, detail, { type: 'too-slow', retryAfterSeconds: 10 });
  }
  if (mayPass(error)) {
    const detail = 'A server behind this one does not answer; try again soon.';
    return new HttpProblem(503, detail, { type: 'unreachable', retryAfterSeconds: 5 });
  }
  if (isBadValue(error)) {
    const detail = `The request has a value that the database does not accept: ${error.message}.`;
    return new HttpProblem(400, detail, { type: 'invalid-request' });
  }
  return new HttpProblem(500, `The server failed; its log has the reason under ${request.id}.`);
}

/** Sentences for errors of Fastify whose own message quotes the whole path. */
const PATH_REFUSED: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: 'The path has a percent sign that does not stand for a part of a UTF-8 character.',
  FST_ERR_MAX_PARAM_LENGTH: `A part of the path has more than ${MAX_ID} characters, and no id is that long.`,
};

/** The message of pg-pool when no connection became free in time; the error has no code. */
const NO_CONNECTION_FREE = 'timeout exceeded when trying to connect';

function fieldProblem(where: string, { instancePath, message, params }: FastifySchemaValidationError): Problem {
  const names = instancePath.split('/').filter((name) => name !== '');
  const { missingProperty: missing, additionalProperty: unknown } = params;
  const field = (...more: string[]) => [...names, ...more].join('.') || where;
  if (typeof unknown === 'string')
    return {
      field: field(unknownName(unknown)),
      message: `It is not a field of ${names.length === 0 ? `the ${where}` : field()}.`,
    };
  return { field: field(...(typeof missing === 'string' ? [missing] : [])), message: `It ${message ?? 'is invalid'}.` };
}

/** The name of an unknown field in a problem: cut if it is long, and visible if it is empty. */
export function unknownName(name: string): string {
  return name === '' ? '""' : name.slice(0, 40);
}

/**
 * Whether Postgres refused a value, by its error codes: a zero character in a text, or an invalid time. Other errors of
 * class 22 (data exception), such as a division by zero, would be a bug of this server.
 */
function isBadValue({ code }: FastifyError): boolean {
  return ['22007', '22008', '22009', '22021'].includes(code);
}

function pathOf(request: FastifyRequest): string {
  return shorten(request.url.split('?')[0] ?? '');
}

/** `text`, cut if it is too long for a sentence. */
export function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
