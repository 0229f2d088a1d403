/** The rules for records from outside, applied to JSON at the edge and to Avro at intake. */
import type {
  ConversationCaptured,
  Entity,
  ErasureRequested,
  ReviewSubmitted,
  ShownPrediction,
} from '../schemas/types.ts';

/** A rule that a field breaks, as a sentence. */
export interface Problem {
  readonly field: string;
  readonly message: string;
}

/** UTF-16 code units of an id. */
export const MAX_ID = 200;
const MAX_NAME = 100;
const MAX_MESSAGE = 32_768;
/** Entities of a conversation. */
export const MAX_ENTITIES = 200;
const MAX_ENTITY_VALUE = 1000;
/** Runner-up predictions of a conversation. */
export const MAX_RUNNERS_UP = 10;
const MAX_REASON = 500;
const EARLIEST_MS = Date.UTC(2000, 0, 1);
const DAY_MS = 24 * 60 * 60 * 1000;
/** Property names with a meaning in JavaScript. As names of intents they could only be an attack. */
const RESERVED = new Set(['__proto__', 'constructor', 'prototype']);
const NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N} _.:/-]*$/u;
/** The tag length that software must support at least (RFC 5646, section 4.4.1). Meaningful tags are shorter. */
const MAX_LANGUAGE = 35;
/** The shape of a BCP 47 tag; the registry of subtags is not consulted. */
const LANGUAGE = /^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/;

/**
 * The problems of a conversation; empty when it is valid. `arrivedAtMs` is when the log received it: an event may be
 * less than a day ahead of its arrival.
 */
export function conversationProblems(c: ConversationCaptured, arrivedAtMs: number): readonly Problem[] {
  return [
    ...idProblems('conversation_id', c.conversation_id),
    ...(c.user_id === null ? [] : idProblems('user_id', c.user_id)),
    ...(c.session_id === null ? [] : idProblems('session_id', c.session_id)),
    ...messageProblems(c.user_message),
    ...languageProblems('language', c.language),
    ...nameProblems('nlu_intent', c.nlu_intent),
    ...nameProblems('nlu_module', c.nlu_module),
    ...confidenceProblems('nlu_confidence', c.nlu_confidence),
    ...(c.model_version === null ? [] : nameProblems('model_version', c.model_version)),
    ...unless(
      c.entities.length <= MAX_ENTITIES,
      'entities',
      () => `There are ${String(c.entities.length)}; at most ${String(MAX_ENTITIES)} are allowed.`,
    ),
    ...c.entities
      .slice(0, MAX_ENTITIES)
      .flatMap((entity, i) => entityProblems(`entities[${String(i)}]`, entity, c.user_message)),
    ...unless((c.processing_time_ms ?? 0) >= 0, 'processing_time_ms', () => 'It must not be negative.'),
    ...timeProblems('created_at', c.created_at, arrivedAtMs),
    ...unless(
      c.runners_up.length <= MAX_RUNNERS_UP,
      'runners_up',
      () => `There are ${String(c.runners_up.length)}; at most ${String(MAX_RUNNERS_UP)} are allowed.`,
    ),
    ...c.runners_up.slice(0, MAX_RUNNERS_UP).flatMap((label, i) => labelProblems(`runners_up[${String(i)}]`, label)),
  ];
}

/** The problems of a review; empty when it is valid. */
export function reviewProblems(r: ReviewSubmitted, arrivedAtMs: number): readonly Problem[] {
  const corrects = r.verdict === 'correct';
  return [
    ...idProblems('conversation_id', r.conversation_id),
    ...idProblems('reviewer', r.reviewer),
    ...correctionProblems('corrected_intent', r.corrected_intent, corrects),
    ...correctionProblems('corrected_module', r.corrected_module, corrects),
    ...timeProblems('reviewed_at', r.reviewed_at, arrivedAtMs),
    ...(r.review_id === null ? [] : idProblems('review_id', r.review_id)),
    ...unless((r.time_taken_ms ?? 0) >= 0, 'time_taken_ms', () => 'It must not be negative.'),
    ...(r.shown === null ? [] : shownProblems(r.shown)),
    ...(r.withdraws === null ? [] : idProblems('withdraws', r.withdraws)),
    ...unless(
      r.withdraws === null || r.withdraws !== r.review_id,
      'withdraws',
      () => "A review can't withdraw itself.",
    ),
  ];
}

/** The problems of an erasure request; empty when it is valid. */
export function erasureProblems(e: ErasureRequested, arrivedAtMs: number): readonly Problem[] {
  return [
    ...idProblems('conversation_id', e.conversation_id),
    ...idProblems('requested_by', e.requested_by),
    ...reasonProblems(e.reason),
    ...timeProblems('requested_at', e.requested_at, arrivedAtMs),
  ];
}

/** The reason must be a sentence for readers of the history. */
export function reasonProblems(reason: string): readonly Problem[] {
  const fits = reason.trim() !== '' && reason.length <= MAX_REASON && reason.isWellFormed();
  return unless(fits, 'reason', () => `It must say why, in 1 to ${String(MAX_REASON)} characters.`);
}

function shownProblems(shown: ShownPrediction): readonly Problem[] {
  const { model_version } = shown;
  return [
    ...labelProblems('shown', shown),
    ...(model_version === null ? [] : nameProblems('shown.model_version', model_version)),
  ];
}

function labelProblems(
  field: string,
  { intent, module, confidence }: { intent: string; module: string; confidence: number | null },
): readonly Problem[] {
  return [
    ...nameProblems(`${field}.intent`, intent),
    ...nameProblems(`${field}.module`, module),
    ...confidenceProblems(`${field}.confidence`, confidence),
  ];
}

function correctionProblems(field: string, value: string | null, wanted: boolean): readonly Problem[] {
  if (!wanted) return unless(value === null, field, () => 'Only the verdict correct may have it.');
  return value === null ? [{ field, message: 'The verdict correct requires it.' }] : nameProblems(field, value);
}

/** An id of a conversation, user, session or person. */
export function idProblems(field: string, value: string): readonly Problem[] {
  const fits = value.length > 0 && value.length <= MAX_ID && isPrintable(value) && !RESERVED.has(value);
  return unless(fits, field, () => `${quote(value)} is not an id of 1 to ${String(MAX_ID)} printable characters.`);
}

/** A name of an intent, module, version or the like. */
export function nameProblems(field: string, value: string): readonly Problem[] {
  const fits = value.length <= MAX_NAME && NAME.test(value) && !RESERVED.has(value);
  return unless(
    fits,
    field,
    () => `${quote(value)} is not a name of 1 to ${String(MAX_NAME)} letters, digits and _ . : / - .`,
  );
}

/** A BCP 47 tag. */
export function languageProblems(field: string, value: string): readonly Problem[] {
  const fits = value.length <= MAX_LANGUAGE && LANGUAGE.test(value);
  return unless(
    fits,
    field,
    () => `${quote(value)} is not a BCP 47 tag of at most ${String(MAX_LANGUAGE)} characters, such as hi or hi-Latn.`,
  );
}

function messageProblems(message: string): readonly Problem[] {
  if (message.trim() === '') return [{ field: 'user_message', message: 'It is empty.' }];
  return unless(
    message.length <= MAX_MESSAGE,
    'user_message',
    () => `It has ${String(message.length)} UTF-16 code units; at most ${String(MAX_MESSAGE)} are kept.`,
  );
}

function confidenceProblems(field: string, confidence: number | null): readonly Problem[] {
  if (confidence === null || Number.isNaN(confidence)) return [];
  return unless(confidence >= 0 && confidence <= 1, field, () => `${String(confidence)} is not between 0 and 1.`);
}

function entityProblems(field: string, entity: Entity, message: string): readonly Problem[] {
  const { start, end } = entity;
  const spanned = start !== null && end !== null;
  const span = spanned ? 0 <= start && start < end && end <= message.length : start === null && end === null;
  return [
    ...nameProblems(`${field}.name`, entity.name),
    ...unless(
      entity.value.length <= MAX_ENTITY_VALUE,
      `${field}.value`,
      () => `It has more than ${String(MAX_ENTITY_VALUE)} UTF-16 code units.`,
    ),
    ...unless(span, `${field}.start`, () => 'start and end must be a span inside user_message, or both be absent.'),
  ];
}

/** The time must lie between the year 2000 and one day after arrival. */
export function timeProblems(field: string, ms: number, arrivedAtMs: number): readonly Problem[] {
  if (!Number.isSafeInteger(ms) || ms < EARLIEST_MS)
    return [{ field, message: `${time(ms)} is before the year 2000.` }];
  return unless(
    ms < arrivedAtMs + DAY_MS,
    field,
    () => `${time(ms)} lies more than a day after its arrival at ${time(arrivedAtMs)}.`,
  );
}

function time(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${String(ms)} ms`;
}

/** A lone surrogate does not count as printable either: UTF-8 can't encode it. */
function isPrintable(value: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return value.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(value);
}

function quote(value: string): string {
  return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
}

/** The problem, unless the value is valid. The message is a function, because it is rarely needed. */
export function unless(fits: boolean, field: string, message: () => string): readonly Problem[] {
  return fits ? [] : [{ field, message: message() }];
}
