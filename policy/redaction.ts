/** Masks personal data in messages before they enter the permanent log. */
import type { ConversationCaptured, Entity } from '../schemas/types.ts';

/**
 * E-mail addresses have a dot after the @, UPI handles do not. The part that may precede an @ is matched as a whole
 * even without one: retried from each of its letters, a word of 32,768 characters would block intake for half a minute.
 * Combining marks count as letters, because a vowel sign would otherwise split a name.
 */
const ADDRESSES: readonly (readonly [string, RegExp])[] = [
  ['<email>', /[\p{L}\p{M}\p{N}._%+-]+(@[\p{L}\p{M}\p{N}-]+(?:\.[\p{L}\p{M}\p{N}-]+)+)?/gu],
  ['<upi>', /[\p{L}\p{M}\p{N}._-]{2,}(@[A-Za-z]{2,})?/gu],
];

/**
 * The decimal digits of every script, ten per script in order (the Unicode Standard, section 4.6). None is above
 * U+1FFFF.
 */
const DIGITS = Array.from({ length: 0x20000 }, (_, code) => String.fromCodePoint(code)).filter((one) =>
  /\p{Nd}/u.test(one),
);
const D = '\\p{Nd}';

/**
 * Numbers, masked after addresses, in digits of any script. Deliberately narrow: payment cards are masked, order
 * numbers are not. Aadhaar numbers are written in three groups of four and start with 2 to 9 (UIDAI). Indian mobile
 * numbers have ten digits and start with 6 to 9.
 */
const NUMBERS: readonly (readonly [string, RegExp])[] = [
  ['<card>', number(`(?:${D}{4}[ -]){3}${D}{4}|${D}{16}`)],
  ['<aadhaar>', number(`${digits(2, 9)}${D}{3}[ -]${D}{4}[ -]${D}{4}`)],
  [
    '<phone>',
    number(`(?<!-)(?:[+＋]${digits(9, 9)}${digits(1, 1)}[ -]?|${digits(0, 0)})?${digits(6, 9)}${D}{4}[ -]?${D}{5}`),
  ],
];

/** Matches a digit from `least` to `most` in any script. */
function digits(least: number, most: number): string {
  return `[${DIGITS.filter((_, i) => i % 10 >= least && i % 10 <= most).join('')}]`;
}

/** Matches `pattern` with no digit before or after it. Checking the first character first halves the time. */
function number(pattern: string): RegExp {
  return new RegExp(`(?=[+＋${D}])(?<!${D})(?:${pattern})(?!${D})`, 'gu');
}

/**
 * `text` with e-mail addresses, UPI handles, card, Aadhaar and Indian mobile numbers replaced by the name of their
 * kind.
 */
export function redactText(text: string): string {
  const unaddressed = ADDRESSES.reduce(
    (masked, [mask, pattern]) =>
      masked.replace(pattern, (name: string, host: string | undefined) => (host === undefined ? name : mask)),
    text,
  );
  return NUMBERS.reduce((masked, [mask, pattern]) => masked.replace(pattern, mask), unaddressed);
}

/**
 * The conversation as it may be stored. Entities are masked too, because an NLU service may recognise a number that the
 * message spells in words. Entities lose their span where masking moved the text.
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
