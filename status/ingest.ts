/** `POST /v1/conversations` and `POST /v1/reviews`: one record, a JSON array, or NDJSON; all of a request or nothing. */
import type { FastifyInstance } from 'fastify';
import type { Problem } from '../policy/validation.ts';
import type { ConversationProducer, Stored } from '../producers/conversation-producer.ts';
import type { EventKind, ProducedEvent } from '../producers/inputs.ts';
import { InputError, parseEvent, parseEventText } from '../producers/inputs.ts';
import { LineSplitter } from '../producers/lines.ts';

/** A problem and the line of a batch that has it, counted from 1; in a JSON array, its position. */
export type BatchProblem = Problem & { readonly line?: number };

/** A request of which at least one record is invalid; nothing of it was stored. */
export class BatchError extends Error {
  readonly problems: readonly BatchProblem[];

  constructor(message: string, problems: readonly BatchProblem[]) {
    super(message);
    this.problems = problems;
  }
}

/** Problems that an answer lists; the rest is counted. */
const MAX_PROBLEMS = 1000;
const MAX_IN_FLIGHT = 1000;

/** Adds the two routes. */
export function ingestRoutes(app: FastifyInstance, producer: Pick<ConversationProducer, 'send'>): void {
  app.addContentTypeParser(
    ['application/x-ndjson', 'application/jsonl'],
    { parseAs: 'buffer' },
    (_request, body, done) => {
      done(null, body);
    },
  );
  for (const [url, kind] of [
    ['/v1/conversations', 'conversation'],
    ['/v1/reviews', 'review'],
  ] as const) {
    app.post(url, async ({ body }, reply) => {
      const events = eventsOf(kind, body, Date.now());
      const stored = await sendAll(producer, events);
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

/** Every record of a request. @throws BatchError when one is invalid. */
function eventsOf(kind: EventKind, body: unknown, now: number): readonly ProducedEvent[] {
  if (Buffer.isBuffer(body)) return collect(kind, parsersOfLines(kind, body, now));
  if (Array.isArray(body)) {
    const parsers = body.map((json: unknown, i) => [i + 1, () => parseEvent(kind, json, now)] as const);
    return collect(kind, parsers);
  }
  return collect(kind, [[undefined, () => parseEvent(kind, body, now)]]);
}

type Parser = readonly [line: number | undefined, parse: () => ProducedEvent];

function* parsersOfLines(kind: EventKind, body: Buffer, now: number): Generator<Parser> {
  const splitter = new LineSplitter();
  for (const lines of [splitter.push(body), splitter.end()]) {
    for (const { number, text, problem } of lines) {
      if (text?.trim() === '') continue;
      yield [
        number,
        () => {
          if (text === undefined) throw new InputError([{ field: kind, message: problem }]);
          return parseEventText(kind, text, now);
        },
      ];
    }
  }
}

function collect(kind: EventKind, parsers: Iterable<Parser>): readonly ProducedEvent[] {
  const events: ProducedEvent[] = [];
  const problems: BatchProblem[] = [];
  let [records, invalid] = [0, 0];
  for (const [line, parse] of parsers) {
    records++;
    try {
      events.push(parse());
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      invalid++;
      if (problems.length < MAX_PROBLEMS) {
        problems.push(...error.problems.map((problem) => (line === undefined ? problem : { line, ...problem })));
      }
    }
  }
  if (records === 0) throw new BatchError(`The request holds no ${kind}; nothing was stored.`, []);
  if (invalid > 0) {
    const which =
      records === 1 ? `The ${kind} is invalid` : `${String(invalid)} of ${String(records)} records are invalid`;
    throw new BatchError(`${which}; nothing of the request was stored.`, problems);
  }
  return events;
}

/** Sends in slices, so that one large request does not push the records of others into the spool. */
async function sendAll(
  producer: Pick<ConversationProducer, 'send'>,
  events: readonly ProducedEvent[],
): Promise<Stored[]> {
  const stored: Stored[] = [];
  for (let i = 0; i < events.length; i += MAX_IN_FLIGHT) {
    const outcomes = await Promise.allSettled(events.slice(i, i + MAX_IN_FLIGHT).map((event) => producer.send(event)));
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason;
      stored.push(outcome.value);
    }
  }
  return stored;
}
