import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { sketch } from '../../policy/near-duplicates.ts';
import { groupKey, normalise } from '../../policy/review-priority.ts';

const alike = (a: string, b: string) => {
  const other = new Set(sketch(normalise(b)));
  return sketch(normalise(a)).some((band) => other.has(band));
};

describe('the sketch of a text', () => {
  it('is shared by messages that say nearly the same, in any script', () => {
    for (const [a, b] of [
      ['where is my order 4521?', 'Where is my order 77'],
      ['please tell me where my order is right now', 'pls tell me where my order is right now'],
      ['मेरा ऑर्डर कहाँ है बताइए', 'मेरा ऑर्डर कहाँ है बताइये'],
    ] as const)
      assert.ok(alike(a, b), `${a} / ${b}`);
  });

  it('is not shared by messages about different things', () => {
    for (const [a, b] of [
      ['where is my order', 'cancel the subscription of my brother'],
      ['मेरा ऑर्डर कहाँ है', 'पैसे वापस कब मिलेंगे'],
      ['hi', 'no'],
    ] as const)
      assert.ok(!alike(a, b), `${a} / ${b}`);
  });

  it('has four different numbers for every text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
        assert.equal(new Set(sketch(normalise(text))).size, 4);
      }),
    );
  });
});

describe('messages that are answered together', () => {
  it('may differ in case, digits, punctuation and spacing, but not in their emoji', () => {
    for (const [a, b] of [
      ['Great 2!', 'great, 7'],
      ['👍', '👍👍'],
      ['ok ❤️', 'OK ❤'],
    ] as const)
      assert.equal(groupKey(a), groupKey(b), `${a} / ${b}`);
    for (const [a, b] of [
      ['👍', '👎'],
      ['', '👍'],
      ['order 🍕', 'order 🍔'],
      ['🇮🇳', '🇵🇰'],
    ] as const)
      assert.notEqual(groupKey(a), groupKey(b), `${a} / ${b}`);
  });
});
