/** Turns the JSON that services and people send into the Avro records of the log. */
import { z } from 'zod';
import type { Problem } from '../policy/validation.ts';
import {
  conversationProblems,
  erasureProblems,
  MAX_ENTITIES,
  MAX_RUNNERS_UP,
  reviewProblems,
} from '../policy/validation.ts';
import { reasonOf } from '../runtime/reason.ts';
import type { ConversationCaptured, ErasureRequested, ReviewSource, ReviewSubmitted } from '../schemas/types.ts';

/** A valid record on its way into the log, with its kind. */
export type ProducedEvent = (
  | { readonly kind: 'conversation'; readonly record: ConversationCaptured }
  | { readonly kind: 'review'; readonly record: ReviewSubmitted }
  | { readonly kind: 'erasure'; readonly record: ErasureRequested }
) & {
  /** The trace in which it is sent, in valid form (`stream/trace.ts`). */
  readonly traceparent?: string;
};

/** A kind of record that may be sent. */
export type EventKind = ProducedEvent['kind'];

/** All kinds of records that may be sent. */
export const EVENT_KINDS: readonly EventKind[] = ['conversation', 'review', 'erasure'];

/** JSON that is not a valid record. `problems` has a sentence for each field that is wrong. */
export class InputError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(({ field, message }) => `${field}: ${message}`).join(' '));
    this.name = 'InputError';
    this.problems = problems;
  }
}

/** How many unknown fields an error names; a record could have thousands. */
const MAX_UNKNOWN = 10;

/** A string. */
export const text = z.string({ error: notA('a string') });
const optionalText = orNull(text);
/**
 * What a user said. Half of a surrogate pair, as left when an emoji is cut in two, can't be written in UTF-8. It becomes U+FFFD, because the
 * conversation is worth keeping. In names and ids it is refused, because two different ones would become equal.
 */
const said = text.transform((value) => value.toWellFormed());
const int32 = z.int32({ error: notA('a whole number of 32 bits') });
const RFC_3339 = 'an RFC 3339 time such as 2026-10-05T09:30:00Z';
/** An RFC 3339 time, which may have its T and Z in lower case, as milliseconds since 1970. */
export const timestamp = z
  .string({ error: notA(RFC_3339) })
  .overwrite((time) => time.replace(/(?<=\d)[tz]/g, (letter) => letter.toUpperCase()))
  .check(z.iso.datetime({ offset: true, error: notA(RFC_3339) }))
  .transform((time) => Date.parse(time));

const entity = z.strictObject(
  { name: text, value: said, start: orNull(int32), end: orNull(int32) },
  { error: notA('an object with name, value, start and end') },
);

const runnerUp = z.strictObject(
  { intent: text, module: text, confidence: z.number({ error: notA('a number from 0 to 1') }) },
  { error: notA('an object with intent, module and confidence') },
);

const conversationShape = z.strictObject(
  {
    conversation_id: text,
    user_id: optionalText,
    session_id: optionalText,
    user_message: said,
    language: text,
    nlu_intent: text,
    nlu_module: text,
    // A model that computed NaN in JavaScript has no confidence to report, and its conversation is worth keeping.
    nlu_confidence: z
      .union([z.number(), z.nan(), z.null()], { error: notA('a number from 0 to 1, or null') })
      .optional()
      .transform((confidence) => (Number.isNaN(confidence) ? null : (confidence ?? null))),
    nlu_provider: oneOf(['indicbert', 'llm', 'other']),
    model_version: optionalText,
    entities: listOf(MAX_ENTITIES, z.array(entity, { error: notA('an array or an object of entities') }), entityList),
    routing_target: orNull(oneOf(['opensearch', 'php', 'other'])),
    response_success: orNull(z.boolean({ error: notA('true or false') })),
    processing_time_ms: orNull(int32),
    created_at: timestamp,
    runners_up: listOf(MAX_RUNNERS_UP, z.array(runnerUp, { error: notA('an array of labels with their confidence') })),
  },
  { error: notA('a JSON object') },
);

const shown = z.strictObject(
  {
    intent: text,
    module: text,
    confidence: orNull(z.number({ error: notA('a number from 0 to 1, or null') })),
    model_version: optionalText,
  },
  { error: notA('an object with intent, module, confidence and model_version') },
);

const reviewShape = z.strictObject(
  {
    conversation_id: text,
    verdict: oneOf(['approve', 'correct', 'reject', 'skip']),
    corrected_intent: optionalText,
    corrected_module: optionalText,
    reviewer: text,
    reviewed_at: timestamp,
    review_id: optionalText,
    source: orNull(oneOf(['api', 'inbox', 'label-studio', 'cli'])).transform((source): ReviewSource | null =>
      source === 'label-studio' ? 'label_studio' : source,
    ),
    time_taken_ms: orNull(int32),
    shown: orNull(shown),
    withdraws: optionalText,
  },
  { error: notA('a JSON object') },
);

const erasureShape = z.strictObject(
  { conversation_id: text, requested_by: text, reason: text, requested_at: timestamp },
  { error: notA('a JSON object') },
);

const SHAPES = { conversation: conversationShape, review: reviewShape, erasure: erasureShape } as const;

/** The JSON schema of what may be sent, without the rules that go beyond its shape. */
export function inputSchema(kind: EventKind): object {
  const schema: Record<string, unknown> = z.toJSONSchema(SHAPES[kind], { io: 'input', unrepresentable: 'any' });
  delete schema['$schema'];
  return schema;
}

/**
 * A review from JSON. `arrivedAtMs` is now: an event can't be far ahead of its arrival.
 * @throws InputError with all that is wrong.
 */
export function parseReview(json: unknown, arrivedAtMs: number = Date.now()): ReviewSubmitted {
  const record = parse('review', reviewShape, json);
  refuse(reviewProblems(record, arrivedAtMs));
  return record;
}

/** A record of any kind from JSON; `arrivedAtMs` as in `parseReview`. @throws InputError with all that is wrong. */
export function parseEvent(kind: EventKind, json: unknown, arrivedAtMs: number = Date.now()): ProducedEvent {
  switch (kind) {
    case 'conversation': {
      const record = parse('conversation', conversationShape, json);
      refuse(conversationProblems(record, arrivedAtMs));
      return { kind, record };
    }
    case 'review':
      return { kind, record: parseReview(json, arrivedAtMs) };
    case 'erasure': {
      const record = parse('request to erase', erasureShape, json);
      refuse(erasureProblems(record, arrivedAtMs));
      return { kind, record };
    }
  }
}

/** A record of any kind from a line of JSON. @throws InputError with all that is wrong. */
export function parseEventText(kind: EventKind, line: string, arrivedAtMs: number = Date.now()): ProducedEvent {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (cause) {
    const why = reasonOf(cause);
    throw new InputError([{ field: kind, message: `It is not JSON: ${shorten(why, 120)}.` }]);
  }
  return parseEvent(kind, json, arrivedAtMs);
}

/** Parses `json` by `shape`. `kind` names such a record in messages. @throws InputError with all that is wrong. */
export function parse<S extends z.ZodObject>(kind: string, shape: S, json: unknown): z.output<S> {
  const result = shape.safeParse(json);
  if (result.success) return result.data;
  throw new InputError(
    result.error.issues.flatMap((issue) => {
      const field = fieldName(issue.path);
      if (issue.code !== 'unrecognized_keys')
        return [{ field: field === '' ? kind : field, message: sentence(issue.message) }];
      return issue.keys
        .slice(0, MAX_UNKNOWN)
        .map((key) =>
          field === ''
            ? unknownField(key, kind, shape)
            : { field: `${field}.${shorten(key, 40)}`, message: `It is not a field of ${field}.` },
        );
    }),
  );
}

function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new InputError(problems);
}

function unknownField(key: string, kind: string, shape: z.ZodObject): Problem {
  const fields = Object.keys(shape.shape).join(', ');
  return { field: shorten(key, 40), message: `It is not a field of a ${kind}; the fields are ${fields}.` };
}

function fieldName(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${String(part)}]`;
    return name === '' ? String(part) : `${name}.${String(part)}`;
  }, '');
}

/** `{name: value}` is short for an array of entities without spans. */
function entityList(entities: unknown): unknown {
  if (typeof entities !== 'object' || entities === null || Array.isArray(entities)) return entities;
  return Object.entries(entities).map(([name, value]: [string, unknown]) => ({ name, value }));
}

/**
 * A list that `read` takes from the JSON; absent and null mean an empty list. More than `most` items are refused before any of them is
 * checked, because a million problems take half a minute.
 */
function listOf<T extends z.ZodType>(most: number, list: z.ZodArray<T>, read = (json: unknown) => json) {
  return atMost(most, list, read)
    .nullish()
    .transform((items) => items ?? []);
}

/** A list as `listOf` takes it, except that it must not be null. */
export function atMost<T extends z.ZodType>(most: number, list: z.ZodArray<T>, read = (json: unknown) => json) {
  return z.preprocess((json, { issues }) => {
    const items = read(json);
    if (Array.isArray(items) && items.length > most) {
      const message = `There are ${String(items.length)}; at most ${String(most)} are allowed.`;
      issues.push({ code: 'custom', message, input: items });
    }
    return items;
  }, list);
}

/** Absent and null are the same. */
export function orNull<T extends z.ZodType>(type: T) {
  return type.nullish().transform((value): z.output<T> | null => value ?? null);
}

function oneOf<const V extends readonly [string, ...string[]]>(values: V) {
  return z.enum(values, { error: notA(`one of ${values.join(', ')}`) });
}

/** A message for a value of the wrong type. */
export function notA(what: string) {
  return ({ input }: { readonly input?: unknown }) =>
    input === undefined ? 'It is missing.' : `${describe(input)} is not ${what}.`;
}

/** Objects are named by their kind only: printing one that is nested deeply could overflow the stack. */
function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(shorten(value, 40));
  if (Array.isArray(value)) return 'An array';
  if (typeof value === 'object' && value !== null) return 'An object';
  return String(value);
}

function sentence(message: string): string {
  return message.endsWith('.') ? message : `${message}.`;
}

function shorten(value: string, length: number): string {
  return value.length > length ? `${value.slice(0, length)}…` : value;
}
