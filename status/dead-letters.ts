/** What could not be processed: why, its bytes, and another try at it. */
import type { FastifyInstance } from 'fastify';
import type { PlacedDeadLetter } from '../runtime/dead-letters.ts';
import { traceIdOf } from '../stream/trace.ts';
import { refusals } from './openapi.ts';
import { HttpProblem } from './problem.ts';

/** What the routes ask. */
export interface DeadLetterDeps {
  readonly deadLetters: {
    /** All that are kept. */
    list(): Promise<readonly PlacedDeadLetter[]>;
    /** Whether a letter of this topic may be sent again: our own topics hold tables, where an old record would count as the newest. */
    replayable(topic: string): boolean;
    /** Sends the bytes to where they came from; gives how many were sent. */
    replay(letters: readonly PlacedDeadLetter[]): Promise<number>;
  };
}

/** Letters that an answer holds, the newest; bytes of a value that it shows. */
const SHOWN = 500;
const SHOWN_BYTES = 4096;

/** Adds `/v1/dead-letters` and `/v1/dead-letters/replay`. */
export function deadLetterRoutes(app: FastifyInstance, { deadLetters }: DeadLetterDeps): void {
  const tags = ['operate'];
  app.get(
    '/v1/dead-letters',
    {
      config: { role: 'read' },
      schema: { tags, summary: `Dead letters, newest first, ${String(SHOWN)} at most`, response: refusals(503) },
    },
    async () => {
      const letters = [...(await deadLetters.list())].sort((a, b) => b.timestamp - a.timestamp);
      return {
        total: letters.length,
        letters: letters.slice(0, SHOWN).map((letter) => shown(letter, deadLetters.replayable(letter.topic))),
      };
    },
  );
  app.post<{ Body: { ids: string[] } }>(
    '/v1/dead-letters/replay',
    {
      config: { role: 'operate' },
      schema: {
        tags,
        summary: 'Send letters to the topics they came from again, after the cause was mended',
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
    async ({ body: { ids } }) => {
      const wanted = new Set(ids);
      const letters = (await deadLetters.list()).filter(({ id }) => wanted.has(id));
      if (letters.length < wanted.size)
        throw new HttpProblem(404, 'Some of these dead letters are not there any more; nothing was sent.');
      const own = letters.find(({ topic }) => !deadLetters.replayable(topic));
      if (own)
        throw new HttpProblem(
          400,
          `${own.id} came from ${own.topic}, which nobody else writes; run \`samvad rebuild\` instead. Nothing was sent.`,
        );
      return { sent: await deadLetters.replay(letters) };
    },
  );
}

function shown({ key, value, traceparent, ...letter }: PlacedDeadLetter, replayable: boolean): object {
  const bytes = value?.subarray(0, SHOWN_BYTES);
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
