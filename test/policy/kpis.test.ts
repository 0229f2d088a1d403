import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatKpi, formatTarget, kpisOf, MATURE_SAMPLES } from '../../policy/kpis.ts';
import type { KpiFigures } from '../../policy/kpis.ts';

const good: KpiFigures = {
  autoApprovalRate: { value: 0.65, before: 0.62 },
  queue: { value: 499, before: 600 },
  averageConfidence: { value: 0.8, before: 0.8004 },
  fallbackRate: { value: 0.15, before: null },
  testAccuracy: { value: 0.9, before: 0.86 },
  productionGap: { value: -0.03, before: null },
  reviewHours: { value: 2, before: 0 },
  trainingInterval: { value: 10, before: 9 },
  improvement: { value: 0.04, before: null },
  approvedSamples: 100,
};

function of(name: string, figures: Partial<KpiFigures>) {
  const kpi = kpisOf({ ...good, ...figures }).find((one) => one.name === name);
  assert.ok(kpi);
  return kpi;
}

describe('key figures', () => {
  it('are the nine of the plan, each on target at its limit', () => {
    const kpis = kpisOf(good);
    assert.equal(kpis.length, 9);
    for (const { name, standing, advice } of kpis)
      assert.deepEqual([name, standing, advice], [name, 'on target', null]);
  });

  it('are on target at a limit that a difference of shares misses only by rounding', () => {
    for (const value of [0.88 - 0.85, 0.85 - 0.88])
      assert.equal(of('production-gap', { productionGap: { value, before: null } }).standing, 'on target');
    assert.equal(of('model-improvement', { improvement: { value: 0.98 - 0.95, before: null } }).standing, 'on target');
  });

  for (const [name, figures, todo] of [
    ['auto-approval-rate', { autoApprovalRate: { value: 0.599, before: null } }, /review the queue and train/],
    ['auto-approval-rate', { autoApprovalRate: { value: 0.701, before: null } }, /raise the threshold/],
    ['queue', { queue: { value: 500, before: null } }, /near-duplicates together/],
    ['average-confidence', { averageConfidence: { value: 0.799, before: null } }, /lowest confidence/],
    ['llm-fallback-rate', { fallbackRate: { value: 0.151, before: null } }, /answer the priority reviews/],
    ['test-accuracy', { testAccuracy: { value: 0.849, before: null } }, /samvad models report/],
    ['production-gap', { productionGap: { value: -0.031, before: null } }, /traffic differs from the test set/],
    ['production-gap', { productionGap: { value: 0.031, before: null } }, /test set is harder/],
    ['review-hours', { reviewHours: { value: 2.01, before: null } }, /conversations that need a person/],
    ['training-interval', { trainingInterval: { value: 15, before: null } }, /Too few samples are approved/],
    ['training-interval', { trainingInterval: { value: 6, before: null } }, /raise SAMVAD_TRAINING_THRESHOLD/],
    ['model-improvement', { improvement: { value: 0.029, before: null } }, /label what the model gets wrong/],
  ] as const)
    it(`say what to do when ${name} is off: ${JSON.stringify(figures)}`, () => {
      const { standing, advice } = of(name, figures);
      assert.equal(standing, 'off target');
      assert.match(advice ?? '', todo);
    });

  it('say what is missing where a figure is unknown', () => {
    for (const key of Object.keys(good).filter((name) => name !== 'approvedSamples')) {
      const unknown = kpisOf({ ...good, [key]: { value: null, before: 0.5 } }).find(({ value }) => value === null);
      assert.ok(unknown);
      assert.deepEqual([unknown.standing, unknown.trend], ['unknown', null]);
      assert.match(unknown.advice ?? '', /^[A-Z].{20,}\.$/);
    }
  });

  it('show the trend: level for a change too small to see, none without an earlier value', () => {
    assert.equal(of('auto-approval-rate', {}).trend, 'up');
    assert.equal(of('queue', {}).trend, 'down');
    assert.equal(of('average-confidence', {}).trend, 'level');
    assert.equal(of('llm-fallback-rate', {}).trend, null);
  });

  it('have higher targets for a mature system', () => {
    const mature = { approvedSamples: MATURE_SAMPLES };
    assert.deepEqual(
      [of('test-accuracy', mature).standing, of('llm-fallback-rate', mature).standing],
      ['off target', 'off target'],
    );
    assert.equal(of('test-accuracy', { ...mature, testAccuracy: { value: 0.95, before: null } }).standing, 'on target');
  });

  it('are written with their units', () => {
    assert.deepEqual(
      [
        formatKpi(0.632, 'share'),
        formatKpi(-0.031, 'points'),
        formatKpi(0.04, 'points'),
        formatKpi(12, 'count'),
        formatKpi(1.44, 'hours'),
        formatKpi(9, 'days'),
        formatKpi(null, 'share'),
      ],
      ['63.2 %', '-3.1 points', '+4.0 points', '12', '1.4 h', '9.0 days', '–'],
    );
    assert.deepEqual(
      [formatTarget({ min: 0.6, max: 0.7 }, 'share'), formatTarget({ min: null, max: 499 }, 'count')],
      ['60.0 % to 70.0 %', 'at most 499'],
    );
  });
});
