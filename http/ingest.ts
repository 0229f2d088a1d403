/**
 * `POST /v1/conversations` and `POST /v1/reviews`: one record, a JSON array, or NDJSON. A request is stored completely
 * or not at all.
 */
import type { FastifyInstance, RouteShorthandOptions } from 'fastify';
import type { Pool } from 'pg';
import type { ConversationProducer } from '../producers/conversation-producer.ts';
import { InputError, inputSchema, parseEvent, parseEventText } from '../producers/inputs.ts';
import type { EventKind, ProducedEvent } from '../producers/inputs.ts';
import { LineSplitter } from '../producers/lines.ts';
import { sendAll } from '../producers/send-all.ts';
import { traceFrom } from '../producers/trace.ts';
import { AnswerRefused, refuseErased, refuseSlips, refuseWithdrawalsOfOthers } from '../review/answers.ts';
import { mayPass } from '../runtime/may-pass.ts';
import { untraced } from '../runtime/tracing.ts';
import type { Tracing } from '../runtime/tracing.ts';
import type { ReviewSubmitted } from '../schemas/types.ts';
import { ownNameOnly } from './access.ts';
import type { Caller } from './access.ts';
import { readJson } from './json-body.ts';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';
import type { FieldProblem } from './problem.ts';
import { traceHeader, traceOf } from './traced.ts';

/** The dependencies of the ingest routes. */
export interface IngestDeps {
  readonly producer: Pick<ConversationProducer, 'send'>;
  /** Looks up erased conversations with a short time-out; absent while Postgres is not there yet. */
  readonly lookups?: Pick<Pool, 'query'>;
  readonly tracing?: Pick<Tracing, 'request'>;
}

/** The largest request body in bytes. */
export const MAX_INGEST_BYTES = 5 * 1024 * 1024;
/** The most requests per minute and caller; a request may hold thousands of records. */
const MAX_REQUESTS_A_MINUTE = 120_000;
/** The most records per request, including blank lines. Validating them blocks the server for half a second. */
const MAX_RECORDS = 10_000;
/** The number of problems in a request after which validation stops. */
const MAX_PROBLEMS = 1000;
const NEW_LABEL = { type: 'boolean', description: 'accepts labels that no conversation has had so far' };

/** Adds both routes, in a separate scope because they parse bodies differently. */
export function ingestRoutes(app: FastifyInstance, deps: IngestDeps): void {
  app.register((scope, _options, done) => {
    readBodies(scope);
    addRoutes(scope, deps);
    done();
  });
}

function readBodies(app: FastifyInstance): void {
  readJson(app, 'ignore'); // the record rules report such a field by name, with its position in a batch
  app.addContentTypeParser(
    ['application/x-ndjson', 'application/jsonl'],
    { parseAs: 'buffer' },
    (_request, body, done) => {
      done(null, body);
    },
  );
}

function addRoutes(app: FastifyInstance, { producer, lookups, tracing = untraced }: IngestDeps): void {
  for (const [url, kind] of [
    ['/v1/conversations', 'conversation'],
    ['/v1/reviews', 'review'],
  ] as const) {
    app.post(url, routeOptions(kind), async (request, reply) => {
      const caller = traceFrom(traceOf(request)).traceparent;
      const stored = await tracing.request(`POST ${url}`, caller, async (traceparent) => {
        const events = eventsOf(kind, request.body, Date.now());
        const reviews = events.flatMap((event) => (event.kind === 'review' ? [event.record] : []));
        refuseOtherNames(request.caller, reviews);
        await keepToOwn(request.caller, lookups, reviews);
        // Conversations, which come by the thousand, are not looked up.
        if (lookups && reviews.length > 0) {
          await courtesy(refuseErased(lookups, reviews));
          if (!takesNewLabels(request.query)) await courtesy(refuseSlips(lookups, reviews));
        }
        return sendAll(
          producer,
          traceparent === undefined ? events : events.map((event) => ({ ...event, traceparent })),
        );
      });
      return reply.code(202).send({
        accepted: stored.length,
        ids: stored.map(({ conversation_id }) => conversation_id),
        stored: {
          kafka: stored.filter((one) => one.stored === 'kafka').length,
          spool: stored.filter((one) => one.stored === 'spool').length,
        },
      });
    });
  }
}

/**
 * Refuses reviews under other names: a caller with the role `review` only may answer in the name of its token. A review
 * tool that sends other people's answers has the role `ingest` too. @throws HttpProblem
 */
function refuseOtherNames(caller: Caller | null, reviews: readonly ReviewSubmitted[]): void {
  const own = ownNameOnly(caller);
  const other = reviews.find(({ reviewer }) => own !== undefined && reviewer !== own);
  if (own === undefined || !other) return;
  throw new HttpProblem(
    403,
    `The token ${own} can only send reviews of ${own}; to send an answer of ${JSON.stringify(other.reviewer)}, it needs ` +
      'the role ingest or operate too. Nothing of the request was stored.',
  );
}

/**
 * Tells a reviewer at once that the conversation was erased, or that a label may be a typing error, as the inbox does.
 * This is a courtesy, so reviews are accepted also if Postgres is down, frozen or being rebuilt. @throws AnswerRefused
 */
async function courtesy(check: Promise<void>): Promise<void> {
  await check.catch((error: unknown) => {
    if (error instanceof AnswerRefused) throw error;
  });
}

/** These routes validate no query, so its values are strings. */
function takesNewLabels(query: unknown): boolean {
  return (query as { readonly new_label?: unknown }).new_label === 'true';
}

/**
 * A caller limited to one name may withdraw only answers of that name; if that can't be looked up, none.
 * @throws HttpProblem, AnswerRefused
 */
async function keepToOwn(
  caller: Caller | null,
  lookups: Pick<Pool, 'query'> | undefined,
  reviews: readonly ReviewSubmitted[],
): Promise<void> {
  const own = ownNameOnly(caller);
  const undos = reviews.filter(({ withdraws }) => withdraws !== null);
  if (own === undefined || undos.length === 0) return;
  const away = "The reviewer of the answer can't be looked up while Postgres is away or busy. Send it again later.";
  if (!lookups) throw new HttpProblem(503, away);
  await refuseWithdrawalsOfOthers(lookups, own, undos).catch((error: unknown) => {
    // A refusal quotes names, which `mayPass` could take for the message of a server that is away.
    throw error instanceof AnswerRefused || !mayPass(error) ? error : new HttpProblem(503, away);
  });
}

function routeOptions(kind: EventKind): RouteShorthandOptions {
  const record = inputSchema(kind);
  const line = { type: 'string', description: 'NDJSON: one JSON object per line' };
  const answer = {
    description: 'every record is safe, in Kafka or in the spool of this server',
    type: 'object',
    properties: {
      accepted: { type: 'integer' },
      ids: { type: 'array', items: { type: 'string' }, description: 'in the order of the request' },
      stored: { type: 'object', properties: { kafka: { type: 'integer' }, spool: { type: 'integer' } } },
    },
  };
  return {
    bodyLimit: MAX_INGEST_BYTES,
    config: { role: kind === 'review' ? 'review' : 'ingest', rateLimit: { max: MAX_REQUESTS_A_MINUTE } },
    // The validation rules are shared with all other inputs, so that the messages are the same; the schema only
    // describes.
    validatorCompiler: () => () => true,
    schema: {
      tags: ['ingest'],
      summary: `One ${kind} or many; a request is stored completely or not at all`,
      description: `At most ${MAX_RECORDS} records, including blank lines. After ${MAX_PROBLEMS} problems the rest is not checked, and the answer says so.`,
      headers: traceHeader,
      ...(kind === 'review' && { querystring: { type: 'object', properties: { new_label: NEW_LABEL } } }),
      body: {
        content: {
          'application/json': { schema: { anyOf: [record, { type: 'array', items: record }] } },
          'application/x-ndjson': { schema: line },
        },
      },
      response: { 202: answer, ...refusals(400, ...(kind === 'review' ? [403, 410, 422] : []), 413, 415, 503) },
    },
  };
}

/** The records of a request. @throws HttpProblem when one is invalid, or there are too many. */
function eventsOf(kind: EventKind, body: unknown, now: number): readonly ProducedEvent[] {
  if (Buffer.isBuffer(body)) return collect(kind, parsersOfLines(kind, body, now));
  if (!Array.isArray(body)) return collect(kind, [[undefined, () => parseEvent(kind, body, now)]]);
  refuseTooMany(body.length);
  return collect(
    kind,
    body.map((json: unknown, i) => [i + 1, () => parseEvent(kind, json, now)]),
  );
}

type Parser = readonly [line: number | undefined, parse: () => ProducedEvent];

function parsersOfLines(kind: EventKind, body: Buffer, now: number): readonly Parser[] {
  const splitter = new LineSplitter();
  const parsers: Parser[] = [];
  for (const lines of [splitter.push(body), splitter.end()]) {
    for (const { number, text, problem } of lines) {
      refuseTooMany(number);
      if (text?.trim() === '') continue;
      parsers.push([
        number,
        () => {
          if (text === undefined) throw new InputError([{ field: kind, message: problem }]);
          return parseEventText(kind, text, now);
        },
      ]);
    }
  }
  return parsers;
}

function refuseTooMany(records: number): void {
  if (records <= MAX_RECORDS) return;
  const detail = `The request has more than ${MAX_RECORDS} records; send it in parts.`;
  throw new HttpProblem(413, detail, { type: 'too-large' });
}

function collect(kind: EventKind, parsers: readonly Parser[]): readonly ProducedEvent[] {
  if (parsers.length === 0) throw invalidRecords(`The request holds no ${kind}; nothing was stored.`, []);
  const events: ProducedEvent[] = [];
  const problems: FieldProblem[] = [];
  let [looked, invalid] = [0, 0];
  for (const [line, parse] of parsers) {
    if (problems.length >= MAX_PROBLEMS) break;
    looked++;
    try {
      events.push(parse());
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      invalid++;
      for (const problem of error.problems.slice(0, MAX_PROBLEMS - problems.length))
        problems.push(line === undefined ? problem : { line, ...problem });
    }
  }
  if (invalid === 0) return events;
  const which =
    parsers.length === 1
      ? `The ${kind} is invalid`
      : looked === parsers.length
        ? `${invalid} of ${looked} records are invalid`
        : `${invalid} of the first ${looked} records are invalid, and the others were not checked`;
  throw invalidRecords(`${which}; nothing of the request was stored.`, problems);
}

function invalidRecords(detail: string, problems: readonly FieldProblem[]): HttpProblem {
  return new HttpProblem(400, detail, { type: 'invalid-records', problems });
}
