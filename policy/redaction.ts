/** Masks personal data in messages before they enter the log that is kept for ever. */
import type { ConversationCaptured, Entity } from '../schemas/types.ts';

/**
 * Addresses. UPI handles have no dot after the @, e-mail addresses have one. What may stand before an @ is taken whole, also
 * where none follows: tried from each of its letters, a word of 32,768 would hold intake up for half a minute. Marks are parts of
 * letters: a vowel sign would cut a name in two.
 */
const ADDRESSES: readonly (readonly [string, RegExp])[] = [
  ['<email>', /[\p{L}\p{M}\p{N}._%+-]+(@[\p{L}\p{M}\p{N}-]+(?:\.[\p{L}\p{M}\p{N}-]+)+)?/gu],
  ['<upi>', /[\p{L}\p{M}\p{N}._-]{2,}(@[A-Za-z]{2,})?/gu],
];

/** The decimal digits of every script, 0 to 9 of one after 0 to 9 of another (the Unicode Standard, section 4.6); none is above U+1FFFF. */
const DIGITS = Array.from({ length: 0x20000 }, (_, code) => String.fromCodePoint(code)).filter((one) =>
  /\p{Nd}/u.test(one),
);
const D = '\\p{Nd}';

/**
 * Numbers, masked after addresses, in digits of any script. Deliberately narrow: an order number must survive, a payment card must
 * not. Aadhaar numbers are written in three groups of four and start with 2 to 9 (UIDAI). Indian mobile numbers have ten digits and
 * start with 6 to 9.
 */
const NUMBERS: readonly (readonly [string, RegExp])[] = [
  ['<card>', number(`(?:${D}{4}[ -]){3}${D}{4}|${D}{16}`)],
  ['<aadhaar>', number(`${digits(2, 9)}${D}{3}[ -]${D}{4}[ -]${D}{4}`)],
  [
    '<phone>',
    number(`(?<!-)(?:[+＋]${digits(9, 9)}${digits(1, 1)}[ -]?|${digits(0, 0)})?${digits(6, 9)}${D}{4}[ -]?${D}{5}`),
  ],
];

/** A digit from `least` to `most` of any script. */
function digits(least: number, most: number): string {
  return `[${DIGITS.filter((_, i) => i % 10 >= least && i % 10 <= most).join('')}]`;
}

/** What `pattern` finds with no digit before or after it. What it may begin with is looked for first: it halves the time. */
function number(pattern: string): RegExp {
  return new RegExp(`(?=[+＋${D}])(?<!${D})(?:${pattern})(?!${D})`, 'gu');
}

/** `text` with e-mail addresses, UPI handles, card, Aadhaar and Indian mobile numbers replaced by their kind. */
export function redactText(text: string): string {
  const unaddressed = ADDRESSES.reduce(
    (masked, [mask, pattern]) =>
      masked.replace(pattern, (name: string, host: string | undefined) => (host === undefined ? name : mask)),
    text,
  );
  return NUMBERS.reduce((masked, [mask, pattern]) => masked.replace(pattern, mask), unaddressed);
}

/**
 * The conversation as it may be kept. An NLU service may have read a number out of words, so that it stands in an entity and not in the
 * message. Spans are dropped from entities where the mask moved the text under them.
 */
export function redact(conversation: ConversationCaptured): ConversationCaptured {
  const message = redactText(conversation.user_message);
  const moved = message !== conversation.user_message;
  const masked = (entity: Entity): Entity => {
    const value = redactText(entity.value);
    const { start, end } = entity;
    const fits = !moved || (start !== null && end !== null && message.slice(start, end) === entity.value);
    return value === entity.value && fits
      ? entity
      : { name: entity.name, value, start: fits ? start : null, end: fits ? end : null };
  };
  const entities = conversation.entities.map(masked);
  const unchanged = !moved && entities.every((entity, i) => entity === conversation.entities[i]);
  return unchanged ? conversation : { ...conversation, user_message: message, entities };
}
