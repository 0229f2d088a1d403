import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { months, simulate } from '../../bench/audit-month.ts';
import { cohensKappa } from '../../policy/agreement.ts';
import { confidenceBand, productionAccuracy } from '../../policy/audit.ts';
import type { AuditCell } from '../../policy/audit.ts';
import { wilson } from '../../policy/intervals.ts';
import { random } from '../../trainer/learning/random.ts';

function cell(fields: Partial<AuditCell>): AuditCell {
  return {
    route: 'needs-review',
    propensity: 1,
    band: 0,
    conversations: 100,
    chosen: 100,
    right: 0,
    wrong: 0,
    unusable: 0,
    squares: (fields.right ?? 0) + (fields.wrong ?? 0),
    ...fields,
  };
}

const audited = cell({ route: 'auto-approved', propensity: 0.1, conversations: 900, chosen: 90, right: 81, wrong: 9 });
const reviewed = cell({ right: 50, wrong: 50 });

describe('production accuracy', () => {
  for (const month of months)
    it(`covers the truth in at least 93 of 100 months: ${month.name}`, () => {
      const covered = Array.from({ length: 100 }, (_, seed) => {
        const { cells, truth } = simulate(month, random(seed + 1));
        const { interval } = productionAccuracy(cells);
        return interval[0] <= truth && truth <= interval[1];
      }).filter(Boolean).length;
      assert.ok(covered >= 93, `${covered} of 100`);
    });

  it('weights each answer with the conversations that it stands for', () => {
    const result = productionAccuracy([audited, reviewed]);
    assert.equal(result.corrected, 0.9 * 0.9 + 0.1 * 0.5);
    assert.equal(result.naive, 131 / 190);
    assert.equal(result.overrideRate, 59 / 190);
    assert.equal(result.missing, 0);
  });

  it('is exact where people answered everything', () => {
    const { corrected, interval, bounds } = productionAccuracy([reviewed]);
    assert.deepEqual([corrected, interval, bounds], [0.5, [0.5, 0.5], [0.5, 0.5]]);
  });

  it('has no figure and a wide interval where trusted traffic was never audited', () => {
    const { corrected, interval } = productionAccuracy([{ ...audited, right: 0, wrong: 0, squares: 0 }, reviewed]);
    assert.equal(corrected, null);
    assert.ok(interval[1] - interval[0] > 0.85);
  });

  it('has a figure although nobody answered a small part, and an interval that covers whatever that part would show', () => {
    const seen = [
      cell({ ...audited, conversations: 3800, chosen: 380, right: 342, wrong: 38, squares: 380 }),
      reviewed,
    ];
    const part = { route: 'auto-approved', propensity: 0.05, conversations: 100, chosen: 0 } as const;
    const whole = productionAccuracy(seen);
    const result = productionAccuracy([...seen, cell(part)]);
    assert.ok(Math.abs((result.corrected ?? 0) - (whole.corrected ?? 0)) < 1e-12);
    for (const [right, wrong] of [
      [100, 0],
      [0, 100],
    ] as const) {
      const known = productionAccuracy([...seen, cell({ ...part, chosen: 100, right, wrong })]);
      assert.ok(result.interval[0] <= known.interval[0] && known.interval[1] <= result.interval[1]);
    }
    assert.equal(productionAccuracy([...seen, cell({ ...part, conversations: 400 })]).corrected, null);
  });

  it('is at most 1 where every answer was right', () => {
    for (const unanswered of [1, 2, 3]) {
      const parts = [
        cell({ conversations: 62, chosen: 62, right: 62 }),
        cell({ propensity: 0.05, conversations: unanswered }),
      ];
      const { corrected } = productionAccuracy(parts);
      assert.ok(corrected !== null && corrected <= 1 && corrected > 0.999_999, `${corrected}`);
    }
  });

  it('has no figure where every message was rejected', () => {
    assert.equal(productionAccuracy([cell({ unusable: 100 })]).corrected, null);
    const { corrected, interval } = productionAccuracy([reviewed, cell({ route: 'priority-review', unusable: 100 })]);
    assert.deepEqual([corrected, interval], [0.5, [0.5, 0.5]]);
  });

  it('leaves rejected messages out, and counts skipped ones as missing', () => {
    const result = productionAccuracy([cell({ right: 40, wrong: 40, unusable: 10 })]);
    assert.equal(result.corrected, 0.5);
    assert.equal(result.missing, 10);
    assert.ok(result.bounds[0] < 0.5 && result.bounds[1] > 0.5);
  });

  it('counts a group of equal texts as one answer: 30 in one group as one, ten groups of ten as ten', () => {
    const figures = (squares: number, right: number, wrong: number) =>
      productionAccuracy([cell({ conversations: 1000, chosen: 1000, right, wrong, squares })]);
    const one = figures(30 ** 2, 30, 0);
    assert.deepEqual([one.answers, one.effective, one.corrected], [30, 1, 1]);
    assert.ok(one.interval[0] < 0.25, `${one.interval[0]}`);
    const ten = figures(10 * 10 ** 2, 80, 20);
    const [low, high] = wilson(8, 10);
    const seen = Math.sqrt(0.9);
    assert.deepEqual(ten.interval, [0.8 - seen * (0.8 - low), 0.8 + seen * (high - 0.8)]);
  });

  it('has no figures without conversations', () => {
    assert.deepEqual(productionAccuracy([]), {
      conversations: 0,
      answers: 0,
      effective: 0,
      missing: 0,
      corrected: null,
      interval: [0, 1],
      bounds: [0, 1],
      naive: null,
      overrideRate: null,
    });
  });

  it('lies within its interval, and the interval within 0 and 1, for any counts', () => {
    const counts = fc.record({
      route: fc.constantFrom('auto-approved', 'needs-review', 'priority-review'),
      band: fc.integer({ min: 0, max: 13 }),
      seen: fc.tuple(fc.nat(40), fc.nat(40), fc.nat(40)),
      unseen: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.array(counts, { minLength: 1 }), (list) => {
        const cells = list.map(({ route, band, seen: [right, wrong, unusable], unseen }) => {
          const conversations = right + wrong + unusable + unseen;
          return cell({ route, band, conversations, chosen: conversations, right, wrong, unusable });
        });
        const { corrected, interval } = productionAccuracy(cells);
        assert.ok(interval[0] >= 0 && interval[1] <= 1 && interval[0] <= interval[1]);
        if (corrected !== null) assert.ok(interval[0] <= corrected + 1e-9 && corrected <= interval[1] + 1e-9);
      }),
    );
  });

  it('puts a missing confidence into the lowest band', () => {
    assert.deepEqual([null, 0, 0.3, 0.7, 0.85, 1].map(confidenceBand), [0, 0, 1, 7, 13, 13]);
  });
});

describe('Wilson interval', () => {
  // Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
  for (const [successes, n, low, high] of [
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ] as const)
    it(`of ${successes} of ${n} matches the published interval`, () => {
      const [l, h] = wilson(successes, n);
      assert.deepEqual([l.toFixed(4), h.toFixed(4)], [low.toFixed(4), high.toFixed(4)]);
    });
});

describe("Cohen's kappa", () => {
  const pairs = (a: string, b: string, count: number) => Array.from({ length: count }, () => [a, b] as const);

  it('matches a worked example', () => {
    const { observed, kappa } = cohensKappa([
      ...pairs('yes', 'yes', 20),
      ...pairs('yes', 'no', 5),
      ...pairs('no', 'yes', 10),
      ...pairs('no', 'no', 15),
    ]);
    assert.equal(observed, 0.7);
    assert.equal(kappa?.toFixed(6), '0.400000');
  });

  it('is 1 for reviewers who always agree, below 0 for those who never do, and null where it is undefined', () => {
    assert.equal(cohensKappa([...pairs('a', 'a', 3), ...pairs('b', 'b', 3)]).kappa, 1);
    assert.ok((cohensKappa([...pairs('a', 'b', 3), ...pairs('b', 'a', 3)]).kappa ?? 0) < 0);
    assert.equal(cohensKappa([]).kappa, null);
    assert.deepEqual([cohensKappa(pairs('a', 'a', 3)).observed, cohensKappa(pairs('a', 'a', 3)).kappa], [1, null]);
  });
});
