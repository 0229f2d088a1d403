import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Rows } from '../../trainer/learning/encoder.ts';
import { HashedNgrams, hashedNgrams, tokens } from '../../trainer/learning/hashed-ngrams.ts';

const encoder = new HashedNgrams(hashedNgrams);
async function features(text: string, view: string, using = encoder): Promise<ReadonlySet<number>> {
  const rows: Rows | undefined = (await using.encode([text]))[using.views.findIndex(({ name }) => name === view)];
  return new Set(rows?.indices);
}

describe('HashedNgrams', () => {
  it('keeps vowel signs with their words', () => {
    assert.deepEqual(tokens('मेरी गाड़ी कहाँ है?').length, 5);
    assert.deepEqual(tokens('என் ஆர்டர் எங்கே'), ['என்', 'ஆர்டர்', 'எங்கே']);
  });

  it('distinguishes words that differ only in a vowel sign', async () => {
    for (const [a, b] of [
      ['की', 'का'],
      ['कि', 'की'],
      ['பாலை', 'பாலி'],
      ['కాలు', 'కాలి'],
    ] as const)
      for (const view of ['words', 'letters', 'runs']) {
        const [left, right] = [await features(a, view), await features(b, view)];
        assert.ok(
          [...left].some((index) => !right.has(index)),
          `${a} and ${b} have the same ${view}`,
        );
      }
  });

  it('counts code points, so that a vowel sign is a unit of its own', async () => {
    const pairs = new HashedNgrams({ ...hashedNgrams, letters: [2, 2] });
    // क, ि, त, ा, ब: five code points between two edges.
    assert.equal((await features('किताब', 'letters', pairs)).size, 6);
  });

  it('treats composed and decomposed text, and upper and lower case, alike', async () => {
    assert.deepEqual(await encoder.encode(['CAFE\u0301']), await encoder.encode(['café']));
  });

  it('gives a text the same features alone and among others', async () => {
    const [alone] = await encoder.encode(['book a cab']);
    const [among] = await encoder.encode(['x y z', 'book a cab']);
    assert.deepEqual(alone?.indices, among?.indices.slice(among.starts[1]));
  });

  it('has features that never change: models in production depend on them', async () => {
    const rows = await encoder.encode(['मेरा order']);
    assert.deepEqual(
      rows.map(({ indices }) => indices[0]),
      PINNED,
    );
  });

  it('reads no more of a text without spaces than of one with spaces', async () => {
    const digits = Array.from({ length: 131_072 }, (_, i) => ((i * i * 31 + i * 7) % 65_537).toString(36)).join('');
    const rows = await encoder.encode([digits, 'ﷺ'.repeat(131_072)]);
    for (const { indices } of rows) assert.ok(indices.length < 80_000, `${indices.length} features`);
    assert.deepEqual(await encoder.encode([digits]), await encoder.encode([digits.slice(0, 8192)]));
  });

  it('gives texts without words no features', async () => {
    const rows = await encoder.encode(['', ' \n']);
    assert.deepEqual(
      rows.map(({ starts }) => [...starts]),
      Array(4).fill([0, 0, 0]),
    );
  });
});

/** First features of «मेरा order» in each view. */
const PINNED = [78333, 42695, 46924, 175678];
