/** Dead letters: the reason, the bytes, and how to send them again, unchanged or corrected. */
import type { FastifyInstance } from 'fastify';
import { InputError } from '../producers/inputs.ts';
import type { PlacedDeadLetter } from '../runtime/dead-letters.ts';
import { traceIdOf } from '../stream/trace.ts';
import type { Caller } from './access.ts';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';
import { allows } from './roles.ts';

/** The dependencies of the routes. */
export interface DeadLetterDeps {
  readonly deadLetters: {
    /** Iterates over all letters; there may be very many. */
    all(): AsyncIterable<PlacedDeadLetter>;
    /** The letters with these ids. */
    find(ids: Iterable<string>): Promise<readonly PlacedDeadLetter[]>;
    /**
     * Whether a letter may be sent again unchanged. Letters of internal topics may not: an old record in a table would
     * replace newer ones. Neither may a record that was too large for its topic.
     */
    replayable(letter: PlacedDeadLetter): boolean;
    /** The record as JSON to correct; null when the bytes are not a record. */
    draft(letter: PlacedDeadLetter): Promise<object | null>;
    /** Sends the bytes back to their topics and marks the letters; returns how many were sent. */
    replay(letters: AsyncIterable<PlacedDeadLetter> | Iterable<PlacedDeadLetter>, by: string): Promise<number>;
    /**
     * Sends `record` instead of the letter's bytes and marks the letter; returns whether it was sent. @throws
     * InputError
     */
    correct(letter: PlacedDeadLetter, record: unknown, by: string): Promise<boolean>;
  };
}

/**
 * The most letters in an answer, of each kind (open, sent again), newest first; and the most bytes of a value shown.
 */
const SHOWN = 500;
const SHOWN_BYTES = 4096;
const BYTES = 'The content (`text`, `base64` and `draft`) is not masked; it is null for tokens without `operate`.';
/** The name recorded for the sender when the server has no tokens. */
const NOBODY = 'a page without sign-in';

const place = {
  type: 'object',
  properties: { partition: { type: 'string', pattern: '^[0-9]+$' }, offset: { type: 'string', pattern: '^[0-9]+$' } },
} as const;
interface Place {
  readonly partition: string;
  readonly offset: string;
}

/** Adds `/v1/dead-letters`, one letter, its correction, and `/v1/dead-letters/replay`. */
export function deadLetterRoutes(app: FastifyInstance, { deadLetters }: DeadLetterDeps): void {
  const tags = ['operate'];

  async function find({ partition, offset }: Place): Promise<PlacedDeadLetter> {
    const [letter] = await deadLetters.find([`${partition}/${offset}`]);
    if (letter) return letter;
    throw new HttpProblem(404, `There is no dead letter ${partition}/${offset}; they are kept for 30 days.`);
  }

  app.get(
    '/v1/dead-letters',
    {
      config: { role: 'read' },
      schema: {
        tags,
        summary: `The newest ${SHOWN} open dead letters, then the newest ${SHOWN} that were sent again, which have \`replayed\``,
        description: BYTES,
        response: refusals(503),
      },
    },
    async ({ caller }) => {
      // Collected separately: otherwise letters sent again could crowd out the open ones.
      const [open, sent] = [newest(), newest()];
      for await (const letter of deadLetters.all())
        (letter.replayed === null ? open : sent).add(
          letter.timestamp,
          shown(letter, deadLetters.replayable(letter), caller),
        );
      return { total: open.seen() + sent.seen(), open: open.seen(), letters: [...open.kept(), ...sent.kept()] };
    },
  );
  app.get<{ Params: Place }>(
    '/v1/dead-letters/:partition/:offset',
    {
      config: { role: 'read' },
      schema: {
        tags,
        summary:
          'One dead letter; `draft` is its record as JSON to correct, null if its bytes are not a readable record',
        description: BYTES,
        params: place,
        response: refusals(400, 404, 503),
      },
    },
    async ({ params, caller }) => {
      const letter = await find(params);
      const draft = mayReadBytes(caller) ? await deadLetters.draft(letter) : null;
      return { ...shown(letter, deadLetters.replayable(letter), caller), draft };
    },
  );
  app.post<{ Params: Place; Body: { record: object } }>(
    '/v1/dead-letters/:partition/:offset/correct',
    {
      config: { role: 'operate' },
      schema: {
        tags,
        summary:
          'Send a corrected record instead of a letter: a conversation or a review in the form of the ingest routes',
        params: place,
        body: {
          type: 'object',
          required: ['record'],
          additionalProperties: false,
          properties: { record: { type: 'object' } },
        },
        response: refusals(400, 404, 409, 503),
      },
    },
    async ({ params, body, caller }) => {
      const letter = await find(params);
      const sent = await deadLetters.correct(letter, body.record, caller?.name ?? NOBODY).catch((error: unknown) => {
        if (!(error instanceof InputError)) throw error;
        const detail = "The record can't be sent like this; nothing was changed.";
        throw new HttpProblem(400, detail, { type: 'invalid-records', problems: error.problems });
      });
      if (!sent)
        throw new HttpProblem(409, `${letter.id} was sent again already; nothing was sent.`, { type: 'conflict' });
      return { sent: 1 };
    },
  );
  app.post<{ Body: { ids: string[] } }>(
    '/v1/dead-letters/replay',
    {
      config: { role: 'operate' },
      schema: {
        tags,
        summary: 'Send letters to their topics again after the cause was fixed; each is sent once',
        body: {
          type: 'object',
          required: ['ids'],
          additionalProperties: false,
          properties: {
            ids: { type: 'array', minItems: 1, maxItems: SHOWN, items: { type: 'string', pattern: '^[0-9]+/[0-9]+$' } },
          },
        },
        response: refusals(400, 404, 503),
      },
    },
    async ({ body: { ids }, caller }) => {
      const wanted = new Set(ids);
      const letters = await deadLetters.find(wanted);
      if (letters.length < wanted.size)
        throw new HttpProblem(404, 'Some of these dead letters no longer exist; nothing was sent.');
      const kept = letters.find((letter) => !deadLetters.replayable(letter));
      if (kept)
        throw new HttpProblem(
          400,
          `${kept.id} can't be sent to ${kept.topic} as it is: it is too large, or only the pipeline writes to that topic; run \`samvad rebuild\` instead. Nothing was sent.`,
        );
      return { sent: await deadLetters.replay(letters, caller?.name ?? NOBODY) };
    },
  );
}

/** Consumes any number of letters and keeps the `SHOWN` newest, in display form. */
function newest() {
  let seen = 0;
  let some: { readonly timestamp: number; readonly as: object }[] = [];
  const cut = () => (some = some.toSorted((a, b) => b.timestamp - a.timestamp).slice(0, SHOWN));
  return {
    add(timestamp: number, as: object) {
      seen++;
      some.push({ timestamp, as });
      if (some.length === 2 * SHOWN) cut();
    },
    seen: () => seen,
    kept: () => cut().map(({ as }) => as),
  };
}

/** Only data that passed `intake` is masked, so a letter may contain personal data. */
function mayReadBytes(caller: Caller | null): boolean {
  return caller !== null && allows(caller.roles, 'operate');
}

function shown(
  { key, value, traceparent, ...letter }: PlacedDeadLetter,
  replayable: boolean,
  caller: Caller | null,
): object {
  const bytes = mayReadBytes(caller) ? value?.subarray(0, SHOWN_BYTES) : undefined;
  return {
    ...letter,
    key: key?.toString('utf8') ?? null,
    trace_id: traceparent === null ? null : traceIdOf(traceparent),
    bytes: value?.length ?? 0,
    text: bytes?.toString('utf8') ?? null,
    base64: bytes?.toString('base64') ?? null,
    replayable,
  };
}
