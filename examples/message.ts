import type { Draw } from './random.ts';
import type { Module } from './traffic/intents.ts';
import type { Label } from './traffic/labels.ts';
import { type Language, languages } from './traffic/languages.ts';
import { fillSlot } from './traffic/slots.ts';

/** A span of the message; `start` and `end` count UTF-16 code units, so `message.slice(start, end) === value`. */
export interface Entity {
  readonly name: string;
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

export interface Message {
  readonly text: string;
  readonly entities: readonly Entity[];
}

/** A part of a message. A part with an `entity` keeps its spelling (but not its case) when noise is added. */
interface Part {
  readonly text: string;
  readonly entity?: string;
}

const shortForms: Partial<Record<Language, Readonly<Record<string, string>>>> = {
  en: {
    you: 'u',
    are: 'r',
    please: 'plz',
    and: 'n',
    received: 'recieved',
    available: 'availble',
    minutes: 'mins',
    tomorrow: 'tmrw',
  },
  'hi-Latn': {
    nahi: 'nhi',
    hai: 'h',
    kya: 'kia',
    karo: 'kro',
    kab: 'kb',
    kaha: 'kahan',
    chahiye: 'chaiye',
    wapas: 'vapas',
    abhi: 'abi',
    kaise: 'kese',
  },
};

const emoji: Readonly<Record<Module, readonly string[]>> = {
  food: ['😋', '🍛', '🙏', '😞'],
  shop: ['🛍️', '🙂', '😡'],
  parcel: ['📦', '🙏', '😕'],
  ride: ['🚕', '🙏', '😤'],
  health: ['🙏', '😷', '🤒'],
  payment: ['💸', '😟', '🙏'],
  general: ['🙂', '🙏', '😊'],
};

const fill = (pattern: string, language: Language, draw: Draw): Part[] => {
  const used: string[] = [];
  return pattern
    .split(/\{(\w+)\}/)
    .map((piece, index): Part => {
      // split() with one group alternates: text, slot name, text, slot name, …
      if (index % 2 === 0) return { text: piece };
      const { entity, text } = fillSlot(piece, languages[language].words, used, draw);
      used.push(text);
      return { text, entity };
    })
    .filter(({ text }) => text !== '');
};

const mapPlain = (parts: readonly Part[], change: (text: string) => string): Part[] =>
  parts.map((part) => (part.entity === undefined ? { text: change(part.text) } : part));

const dropEnd = (parts: readonly Part[]): Part[] => {
  const last = parts.at(-1);
  return last?.entity === undefined && last
    ? [...parts.slice(0, -1), { text: last.text.replace(/[?.!]+$/, '') }]
    : [...parts];
};

/** A word with one typing error: two letters swapped, one missing, or one doubled. */
const mistype = (word: string, draw: Draw): string => {
  const at = draw.whole(1, word.length - 3);
  const [before, here, next, after] = [word.slice(0, at), word.charAt(at), word.charAt(at + 1), word.slice(at + 2)];
  return draw.pick([before + next + here + after, before + next + after, before + here + here + next + after]);
};

const latinNoise = (parts: readonly Part[], language: Language, draw: Draw): Part[] => {
  let noisy = [...parts];
  if (draw.chance(0.25))
    noisy = mapPlain(noisy, (text) => text.replace(/[A-Za-z]+/g, (word) => shortForms[language]?.[word] ?? word));
  if (draw.chance(0.14))
    noisy = mapPlain(noisy, (text) =>
      text.replace(/[a-z]{5,}/g, (word) => (draw.chance(0.35) ? mistype(word, draw) : word)),
    );
  const shift = draw.unit();
  if (shift < 0.18) return noisy.map((part) => ({ ...part, text: part.text.toLowerCase() }));
  return shift < 0.2 ? mapPlain(noisy, (text) => text.toUpperCase()) : noisy;
};

const wrap = (parts: readonly Part[], language: Language, draw: Draw): Part[] => {
  const { opener, closer } = languages[language].words;
  let wrapped = [...parts];
  if (draw.chance(0.14))
    wrapped = [
      { text: draw.pick<string>(opener) },
      ...wrapped.map((part, index) =>
        index === 0 && part.entity === undefined
          ? { text: part.text.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase()) }
          : part,
      ),
    ];
  const polite = wrapped.some(({ text }) => /please|pls|thank/i.test(text));
  if (!polite && draw.chance(0.14)) wrapped = [...dropEnd(wrapped), { text: draw.pick<string>(closer) }];
  return wrapped;
};

/** Joins the parts and computes the span of each entity. */
const join = (parts: readonly Part[]): Message => {
  let text = '';
  const entities: Entity[] = [];
  for (const part of parts) {
    const start = text.length;
    text += part.text;
    if (part.entity !== undefined) entities.push({ name: part.entity, value: part.text, start, end: text.length });
  }
  return { text, entities };
};

/** A message with this label in this language, with the noise of chat messages. */
export const writeMessage = ({ module, intent }: Label, language: Language, draw: Draw): Message => {
  const patterns: Readonly<Partial<Record<string, readonly string[]>>> = languages[language].patterns[module];
  let parts = fill(draw.pick(patterns[intent] ?? []), language, draw);
  if (module !== 'general') parts = wrap(parts, language, draw);
  if (draw.chance(0.3)) parts = dropEnd(parts);
  if (language === 'en' || language === 'hi-Latn') parts = latinNoise(parts, language, draw);
  if (draw.chance(0.09)) parts = [...parts, { text: ` ${draw.pick(emoji[module])}` }];
  return join(parts);
};

/** A message without an intent: random keys, a single mark, or a test. */
export const writeGibberish = (draw: Draw): Message => {
  const keys = Array.from({ length: draw.whole(4, 10) }, () => draw.pick(Array.from('asdfghjklqwe'))).join('');
  return {
    text: draw.pick([
      keys,
      keys,
      `${keys} ${keys.slice(0, 3)}`,
      `${keys}??`,
      '?',
      '...',
      'test test',
      'hmm',
      '🙂🙂',
      'kkkk',
    ]),
    entities: [],
  };
};
