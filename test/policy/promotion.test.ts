import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decidePromotion, defaultPromotionPolicy } from '../../policy/promotion.ts';
import type { PromotionEvidence } from '../../policy/promotion.ts';

const compared = (low: number, high: number, pValue = 0.01) => ({
  difference: (low + high) / 2,
  interval: [low, high] as const,
  mcnemar: { pValue },
});
const evidence = (fields: Partial<PromotionEvidence> = {}): PromotionEvidence => ({
  rows: 500,
  candidateAccuracy: 0.9,
  comparison: compared(0.005, 0.035),
  intents: [{ name: 'food/track_order', rows: 40, candidate: 0.9, production: 0.9 }],
  languages: [{ name: 'hi', rows: 200, candidate: 0.88, production: 0.86 }],
  ...fields,
});
const slice = (rows: number, candidate: number, production: number | null) => [
  { name: 'x', rows, candidate, production },
];

const table: readonly (readonly [string, Partial<PromotionEvidence>, string, RegExp])[] = [
  ['better beyond the interval', {}, 'promote', /better than production by 2\.0 %/],
  ['the interval touches zero', { comparison: compared(0, 0.03) }, 'inconclusive', /within chance/],
  ['the interval holds zero', { comparison: compared(-0.01, 0.03) }, 'inconclusive', /-1\.0 % to 3\.0 %/],
  ['worse beyond the interval', { comparison: compared(-0.03, -0.01) }, 'reject', /worse than production/],
  [
    'better beyond the interval, but on a handful of flips',
    { comparison: compared(0.003, 0.027, 0.125) },
    'inconclusive',
    /within chance: 1\.5 % .*McNemar p = 0\.13/,
  ],
  ['worse on a handful of flips', { comparison: compared(-0.027, -0.003, 0.125) }, 'inconclusive', /within chance/],
  ['too few rows', { rows: 49 }, 'inconclusive', /49 test rows.*at least 50/],
  ['first model', { comparison: null }, 'promote', /Nothing is in production/],
  [
    'first model at its floor',
    { comparison: null, candidateAccuracy: 0.6 },
    'promote',
    /60\.0 % of 500 rows are right\./,
  ],
  [
    'first model, of slices too small to judge',
    {
      comparison: null,
      rows: 54,
      candidateAccuracy: 0.2,
      intents: slice(9, 0.2, null),
      languages: slice(9, 0.2, null),
    },
    'reject',
    /20\.0 % of 54 rows are right, below the floor of 60\.0 %/,
  ],
  [
    'first model, a language below its floor',
    { comparison: null, languages: slice(20, 0.5, null) },
    'reject',
    /language x is at 50\.0 % of 20 rows, below its floor of 60\.0 %/,
  ],
  ['an intent falls below its floor', { intents: slice(10, 0.49, 0.8) }, 'reject', /intent x.*production has 80\.0 %/],
  ['an intent at its floor', { intents: slice(10, 0.5, 0.8) }, 'promote', /better than production/],
  [
    'an intent below its floor, but better than production',
    { intents: slice(10, 0.4, 0.3) },
    'promote',
    /better than production/,
  ],
  ['a slice too small to judge', { intents: slice(9, 0, 1) }, 'promote', /better than production/],
];

describe('decidePromotion', () => {
  for (const [name, fields, verdict, reason] of table)
    it(`${name} → ${verdict}`, () => {
      const decision = decidePromotion(evidence(fields));
      assert.equal(decision.verdict, verdict);
      assert.match(decision.reasons.join(' '), reason);
    });
  it('takes another floor', () => {
    const policy = { ...defaultPromotionPolicy, intentFloor: 0.95 };
    assert.equal(decidePromotion(evidence({ intents: slice(30, 0.9, 0.92) }), policy).verdict, 'reject');
    assert.equal(decidePromotion(evidence({ intents: slice(30, 0.9, 0.92) })).verdict, 'promote');
  });
});
