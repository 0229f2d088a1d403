/** Dead letters that people correct: a letter as JSON in the form of all inputs, and the corrected JSON as a record. */
import { Poison } from '../stream/poison.ts';
import { symbol } from '../stream/projection.ts';
import type { PlacedDeadLetter } from '../runtime/dead-letters.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { encodeInput, kindOf, topicOf } from './input-topics.ts';
import { InputError, parseEvent } from './inputs.ts';

/** Names of fields that hold a time. */
const TIMES = new Set(['created_at', 'reviewed_at', 'requested_at']);
/** The last moment that JavaScript's Date can hold, in milliseconds since 1970. */
const LAST_TIME = 8.64e15;

/**
 * The record of a letter as JSON to correct, without empty fields: from its Avro bytes, or from JSON that was sent in their place.
 * Null if it is neither, or if producers do not write its topic.
 * @throws RegistryUnavailable when the schema registry does not answer.
 */
export async function draftOf(codecs: Codecs, { topic, value }: PlacedDeadLetter): Promise<object | null> {
  const kind = kindOf(topic);
  if (kind === undefined || value === null) return null;
  try {
    const codec = codecs.of<unknown>(topicOf(kind));
    await codec.prepare([value]);
    return JSON.parse(JSON.stringify(codec.decode(value), asInput)) as object;
  } catch (error) {
    if (!(error instanceof Poison)) throw error;
    return jsonIn(value);
  }
}

/**
 * The record that is sent in a letter's place, validated like every other input.
 * @throws InputError naming each field that is wrong.
 */
export function correctedRecord(
  codecs: Codecs,
  { topic }: PlacedDeadLetter,
  json: unknown,
  now: number,
): { readonly key: string; readonly value: Buffer } {
  const kind = kindOf(topic);
  if (kind === undefined)
    throw new InputError([{ field: 'letter', message: `Records of ${topic} are not corrected here.` }]);
  const event = parseEvent(kind, json, now);
  return { key: event.record.conversation_id, value: encodeInput(codecs, event).value };
}

/** A field of a record in the form of the JSON input; undefined leaves it out. */
function asInput(name: string, value: unknown): unknown {
  if (value === null || (Array.isArray(value) && value.length === 0)) return undefined;
  if (TIMES.has(name) && typeof value === 'number' && Math.abs(value) <= LAST_TIME)
    return new Date(value).toISOString();
  return name === 'source' && typeof value === 'string' ? symbol(value) : value;
}

function jsonIn(value: Buffer): object | null {
  try {
    const json: unknown = JSON.parse(value.toString('utf8'));
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? json : null;
  } catch {
    return null;
  }
}
