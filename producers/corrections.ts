/** Dead letters as people correct them: as the JSON that every door takes, and back into the record that is sent. */
import { Poison } from '../stream/poison.ts';
import type { PlacedDeadLetter } from '../runtime/dead-letters.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { topics } from '../topology.ts';
import { InputError, parseEvent } from './inputs.ts';
import type { EventKind } from './inputs.ts';

const KINDS: ReadonlyMap<string, EventKind> = new Map([
  [topics.conversations.name, 'conversation'],
  [topics.reviews.name, 'review'],
]);

/** Names of fields that hold a time. */
const TIMES = new Set(['created_at', 'reviewed_at']);
/** The last moment that JavaScript's Date can hold, in milliseconds since 1970. */
const LAST_TIME = 8.64e15;

/**
 * The record of a letter as JSON to correct, fields without a value left out: from its Avro bytes, or from JSON that somebody
 * sent in their place. Null where nobody can read it, and where a letter is neither a conversation nor a review.
 * @throws RegistryUnavailable when the schema registry does not answer.
 */
export async function draftOf(codecs: Codecs, { topic, value }: PlacedDeadLetter): Promise<object | null> {
  const kind = KINDS.get(topic);
  if (kind === undefined || value === null) return null;
  try {
    const codec = kind === 'conversation' ? codecs.of(topics.conversations) : codecs.of(topics.reviews);
    await codec.prepare([value]);
    return JSON.parse(JSON.stringify(codec.decode(value), asInput)) as object;
  } catch (error) {
    if (!(error instanceof Poison)) throw error;
    return jsonIn(value);
  }
}

/**
 * The record that is sent in a letter's place, checked as at every other door.
 * @throws InputError naming each field that is wrong.
 */
export function correctedRecord(
  codecs: Codecs,
  { topic }: PlacedDeadLetter,
  json: unknown,
  now: number,
): { readonly key: string; readonly value: Buffer } {
  const kind = KINDS.get(topic);
  if (kind === undefined)
    throw new InputError([{ field: 'letter', message: `Records of ${topic} are not corrected here.` }]);
  const event = parseEvent(kind, json, now);
  const value =
    event.kind === 'conversation'
      ? codecs.of(topics.conversations).encode(event.record)
      : codecs.of(topics.reviews).encode(event.record);
  return { key: event.record.conversation_id, value };
}

/** A value of a record as the doors take it. */
function asInput(name: string, value: unknown): unknown {
  if (value === null || (Array.isArray(value) && value.length === 0)) return undefined;
  if (TIMES.has(name) && typeof value === 'number' && Math.abs(value) <= LAST_TIME)
    return new Date(value).toISOString();
  return name === 'source' && typeof value === 'string' ? value.replaceAll('_', '-') : value;
}

function jsonIn(value: Buffer): object | null {
  try {
    const json: unknown = JSON.parse(value.toString('utf8'));
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? json : null;
  } catch {
    return null;
  }
}
