import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { normalise } from '../../policy/review-priority.ts';
import { split, withoutTestTextsOfLog } from '../../trainer/learning/split.ts';
import type { DropCounts, Sample } from '../../trainer/learning/split.ts';

const options = { dev: 0.2, test: 0.3, salt: 's' };
const row = (fields: Partial<Sample>): Sample => ({
  text: 'where is my order',
  intent: 'track',
  module: 'food',
  language: 'en',
  source: 'human',
  ...fields,
});
const anyRow: fc.Arbitrary<Sample> = fc.record(
  {
    text: fc.oneof(
      fc.constantFrom(
        'Where is my ORDER?',
        'where  is my order',
        'ओर्डर',
        'cafe\u0301',
        'café',
        '!!',
        'a',
        'b',
        'c',
        'd',
      ),
      fc.string({ unit: 'grapheme', maxLength: 6 }),
    ),
    intent: fc.constantFrom('x', 'y'),
    module: fc.constant('m'),
    language: fc.constantFrom('en', 'hi'),
    source: fc.constantFrom('human', 'auto'),
    translationId: fc.constantFrom('1', '2', '3', '4', '5'),
  },
  { requiredKeys: ['text', 'intent', 'module', 'language', 'source'] },
);

const total = (counts: DropCounts) => Object.values(counts).reduce((a, b) => a + b, 0);

/** A word for each number. */
const wordOf = (i: number) => String(i).replaceAll(/\d/g, (digit) => 'abcdefghij'[Number(digit)] ?? '');

describe('split', () => {
  it('never puts a text or its translation on two sides, and puts every row in one place', () => {
    fc.assert(
      fc.property(fc.array(anyRow, { maxLength: 60 }), (rows) => {
        const { train, dev, test, dropCounts } = split(rows, options);
        const sides = [train, dev, test];
        for (const keyOf of [(r: Sample) => normalise(r.text), (r: Sample) => r.translationId]) {
          const side = new Map<string, number>();
          for (const [i, part] of sides.entries())
            for (const one of part) {
              const key = keyOf(one);
              if (key === undefined) continue;
              assert.equal(side.get(key) ?? i, i, `${key} is on two sides`);
              side.set(key, i);
            }
        }
        assert.equal(train.length + dev.length + test.length + total(dropCounts), rows.length);
        assert.ok(test.every(({ source }) => source === 'human'));
      }),
      { numRuns: 500 },
    );
  });

  it('does not depend on the order of rows', () => {
    const sideOf = (rows: readonly Sample[]) => {
      const sides = split(rows, options);
      assert.ok(sides.test.length > 0);
      return (['train', 'dev', 'test'] as const).flatMap((side) => sides[side].map(({ text }) => `${side} ${text}`));
    };
    const rows = Array.from({ length: 200 }, (_, i) =>
      row({ text: `text ${'abcdefghij'[i % 10] ?? ''} ${i.toString(36)} q`, translationId: String(i % 50) }),
    );
    assert.deepEqual(sideOf(rows).sort(), sideOf(rows.toReversed()).sort());
  });

  it('gives each side about its configured share', () => {
    const rows = Array.from({ length: 5000 }, (_, i) =>
      row({
        text: `word${String.fromCharCode(97 + (i % 26))}${String(i).replace(/\d/g, (d) => 'abcdefghij'[Number(d)] ?? '')}`,
      }),
    );
    const { train, dev, test } = split(rows, { dev: 0.1, test: 0.1, salt: 'x' });
    assert.ok(Math.abs(test.length / 5000 - 0.1) < 0.015, String(test.length));
    assert.ok(Math.abs(dev.length / 5000 - 0.1) < 0.015, String(dev.length));
    assert.equal(train.length + dev.length + test.length, 5000);
  });

  it('says why a row is dropped, and keeps the human one of two equal rows', () => {
    const all = { dev: 0, test: 1, salt: '' };
    const rows = [
      row({ source: 'auto' }),
      row({}),
      row({ text: ' … ' }),
      row({ text: 'only a machine said so', source: 'auto' }),
      row({ text: 'disputed', intent: 'a' }),
      row({ text: 'Disputed!', intent: 'b' }),
    ];
    const result = split(rows, all);
    assert.deepEqual(result.test, [rows[1]]);
    assert.deepEqual(result.dropCounts, {
      'empty-text': 1,
      duplicate: 1,
      'test-text-with-automatic-label': 1,
      'contradicting-labels': 2,
    });
  });

  it('of a file with translations leaves no text in training that is a test text in the log', () => {
    const languages = ['en', 'hi', 'ta'];
    const file = Array.from({ length: 600 }, (_, i) =>
      row({ text: wordOf(i), language: languages[i % 3] ?? '', translationId: String(Math.floor(i / 3)) }),
    );
    const inLog = split(
      file.map(({ text, intent, module, language, source }) => ({ text, intent, module, language, source })),
    );
    const tested = new Set(inLog.test.map(({ text }) => text));
    const learned = ({ train, dev }: ReturnType<typeof split>) =>
      [...train, ...dev].filter(({ text }) => tested.has(text));
    const sides = split(file);
    assert.ok(learned(sides).length > 20, `${learned(sides).length} would be learned`);
    const kept = withoutTestTextsOfLog(sides);
    assert.deepEqual(learned(kept), []);
    assert.deepEqual(kept.test, sides.test);
    assert.equal(kept.dropCounts['test-text-of-the-log'], learned(sides).length);
    const sum = kept.train.length + kept.dev.length + kept.test.length + total(kept.dropCounts);
    assert.equal(sum, file.length, 'every row is in one place');
  });
});
