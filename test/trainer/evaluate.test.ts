import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultPolicy } from '../../policy/routing.ts';
import { calibrationWeights, fitTemperature } from '../../trainer/learning/calibration.ts';
import { OUT_OF_SCOPE, softmax } from '../../trainer/learning/classifier.ts';
import { compare, mcnemarP } from '../../trainer/learning/compare.ts';
import { evaluate } from '../../trainer/learning/evaluate.ts';
import type { Judged } from '../../trainer/learning/evaluate.ts';
import {
  auroc,
  expectedCalibrationError,
  percentile,
  recallAtAcceptance,
  scoresByClass,
} from '../../trainer/learning/metrics.ts';
import { confusion, reportPage } from '../../trainer/report.ts';

const close = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);
const judged = (
  truth: string,
  said: string,
  confidence: number,
  language = 'en',
  text = `${truth}-${said}`,
): Judged => ({
  row: { text, intent: truth, module: truth === OUT_OF_SCOPE ? OUT_OF_SCOPE : 'm', language, source: 'human' },
  answer: { intent: said, module: 'm', confidence, outOfScope: confidence < 0.5, runnersUp: [] },
});

describe('metrics, by hand', () => {
  it('precision, recall and F1', () => {
    const scores = scoresByClass(['a', 'a', 'a', 'b', 'c'], ['a', 'a', 'b', 'b', 'a']);
    assert.deepEqual(scores.get('a'), { rows: 3, precision: 2 / 3, recall: 2 / 3, f1: 2 / 3 });
    assert.deepEqual(scores.get('b'), { rows: 1, precision: 0.5, recall: 1, f1: 2 / 3 });
    assert.deepEqual(scores.get('c'), { rows: 1, precision: 0, recall: 0, f1: 0 });
  });
  it('calibration error', () => {
    // One bin at 0.9 with half right (gap 0.4, two rows), one at 0.3 with none right (gap 0.3, one row).
    const rows = [
      { confidence: 0.9, correct: true },
      { confidence: 0.9, correct: false },
      { confidence: 0.3, correct: false },
    ];
    close(expectedCalibrationError(rows, 10), (2 * 0.4 + 0.3) / 3);
    close(expectedCalibrationError([{ confidence: 1, correct: true }]), 0);
  });
  it('AUROC with ties, and recall at 90 % acceptance', () => {
    close(auroc([3, 2], [1, 2]), 3.5 / 4);
    close(auroc([1, 1], [1]), 0.5);
    assert.ok(Number.isNaN(auroc([], [1])));
    const inside = Array.from({ length: 10 }, (_, i) => (i + 1) / 10);
    // One of ten may be rejected, so 0.2 is the limit; two rows out of scope, 0.05 and 0.15, are below it.
    close(recallAtAcceptance(inside, [0.05, 0.15, 0.2, 0.9], 0.9), 0.5);
  });
  it('percentiles by nearest rank', () => {
    assert.equal(percentile([5, 1, 4, 2, 3], 0.5), 3);
    assert.equal(percentile([1, 2], 0.99), 2);
  });
  it('temperature that undoes a scale', () => {
    // For shares of 0.8 and 0.2 the right logit is ln 4; three times that needs temperature 3.
    const logits = new Float32Array(2000).map((_, i) => (i % 2 === 0 ? 3 * Math.log(4) : 0));
    const labels = Int32Array.from({ length: 1000 }, (_, i) => (i % 10 < 8 ? 0 : 1));
    assert.ok(Math.abs(fitTemperature(logits, labels, 2) - 3) < 0.01);
    close(softmax(Float32Array.of(0, 0), 2, 1)[0] ?? 0, 0.5);
  });
  it('temperature from few rows that are all right: as sure as their number allows', () => {
    const sureOf = (rows: number) => {
      const logits = new Float32Array(2 * rows).map((_, i) => (i % 2 === 0 ? 2 : 0));
      return softmax(logits, 2, fitTemperature(logits, new Int32Array(rows), 2))[0] ?? 0;
    };
    for (const rows of [8, 98]) assert.ok(Math.abs(sureOf(rows) - (rows + 1.5) / (rows + 2)) < 1e-3, `${rows} rows`);
  });
  it('temperature counts each row with its weight', () => {
    // 0.8 to 0.2, with each wrong row counted twice, is 2 to 1: a logit of 3 ln 4 needs 3 ln 4 / ln 2 = 6.
    const logits = new Float32Array(2000).map((_, i) => (i % 2 === 0 ? 3 * Math.log(4) : 0));
    const labels = Int32Array.from({ length: 1000 }, (_, i) => (i % 10 < 8 ? 0 : 1));
    const weights = Float64Array.from(labels, (label) => 1 + label);
    assert.ok(Math.abs(fitTemperature(logits, labels, 2, weights) - 6) < 0.05);
    const ones = new Float64Array(1000).fill(1);
    assert.equal(fitTemperature(logits, labels, 2, ones), fitTemperature(logits, labels, 2));
  });
});

describe('weights of a calibration', () => {
  const human = (reviewPropensity: number | null) => ({ source: 'human', reviewPropensity }) as const;
  const doubtful = human(1);
  const automatic = { source: 'auto', reviewPropensity: 0.05 } as const; // to be audited, and not answered yet
  const unasked = human(null);
  const weightsWith = (audits: number) => [
    ...calibrationWeights([
      ...[doubtful, automatic, unasked, human(0.05)],
      ...Array.from({ length: audits - 1 }, () => human(0.1)),
    ]).subarray(0, 4),
  ];

  it('are one each where nothing was audited', () => {
    assert.deepEqual([...calibrationWeights([doubtful, automatic, unasked, { source: 'human' }])], [1, 1, 1, 1]);
  });
  it('are halfway to those of the fair fit with 50 audits', () => {
    weightsWith(50).forEach((weight, i) => close(weight, [1, 0.5, 0.5, 10.5][i] ?? NaN));
  });
  it('come close to those of the fair fit with many audits', () => {
    weightsWith(4950).forEach((weight, i) => close(weight, [1, 0.01, 0.01, 19.81][i] ?? NaN));
  });
});

describe('evaluate, by hand', () => {
  const rows = [
    judged('a', 'a', 0.95),
    judged('a', 'b', 0.9),
    judged('b', 'b', 0.8, 'hi'),
    judged('b', 'b', 0.4, 'hi'),
    judged(OUT_OF_SCOPE, 'a', 0.3),
    judged(OUT_OF_SCOPE, 'b', 0.9),
  ];
  const e = evaluate(rows, defaultPolicy);
  it('counts rows in scope', () => {
    assert.equal(e.rows, 6);
    assert.equal(e.outOfScopeRows, 2);
    close(e.accuracy, 0.75);
    close(e.macroF1, (2 / 3 + 0.8) / 2);
    assert.deepEqual(e.byLanguage, { en: { rows: 2, accuracy: 0.5 }, hi: { rows: 2, accuracy: 1 } });
    assert.deepEqual(e.byModule, { m: { rows: 4, accuracy: 0.75 } });
  });
  it('counts answers that the policy doubts as fallbacks, not those that the model marks', () => {
    const marked = (confidence: number) => {
      const one = judged('a', 'a', confidence);
      return { ...one, answer: { ...one.answer, outOfScope: true } };
    };
    close(evaluate([marked(0.9), marked(0.7), marked(0.69), judged('a', 'a', 0.6)], defaultPolicy).fallbackRate, 0.5);
  });
  it('counts approval by the policy, fallback and what is rejected', () => {
    // Above 0.85: 0.95, 0.9 and 0.9, of which one is right.
    close(e.autoApprovalRate, 3 / 6);
    close(e.autoApprovedAccuracy ?? 0, 1 / 3);
    close(e.fallbackRate, 2 / 6);
    // Pairs: 0.95>0.3, 0.95>0.9, 0.9>0.3, 0.9=0.9, 0.8>0.3, 0.8<0.9, 0.4>0.3, 0.4<0.9.
    close(e.outOfScope?.auroc ?? 0, 5.5 / 8);
    // The threshold that accepts three of the four rows in scope is 0.4.
    close(e.outOfScope?.recallAt90Acceptance ?? 0, 0.5);
  });
});

describe('compare', () => {
  it('computes the exact p value of McNemar', () => {
    close(mcnemarP(0, 5), 2 / 32);
    close(mcnemarP(2, 8), (2 * (1 + 10 + 45)) / 1024);
    close(mcnemarP(4, 4), 1);
    close(mcnemarP(0, 0), 1);
    assert.ok(mcnemarP(900, 1100) < 1e-4);
  });
  const make = (right: readonly boolean[]) =>
    right.map((ok, i) => judged(i % 2 ? 'a' : 'b', ok ? (i % 2 ? 'a' : 'b') : 'z', 0.9, 'en', `text ${i}`));
  it('reports flips by intent, with an interval that covers the difference', () => {
    const production = make(Array.from({ length: 100 }, (_, i) => i % 4 !== 0));
    const candidate = make(Array.from({ length: 100 }, (_, i) => i % 10 !== 1));
    const c = compare(candidate, production);
    close(c.productionAccuracy, 0.75);
    close(c.candidateAccuracy, 0.9);
    close(c.difference, 0.15);
    assert.equal(c.mcnemar.onlyCandidate, 25);
    assert.equal(c.mcnemar.onlyProduction, 10);
    assert.deepEqual(c.flipsByIntent, { 'm/a': { better: 0, worse: 10 }, 'm/b': { better: 25, worse: 0 } });
    assert.ok(c.interval[0] < 0.15 && 0.15 < c.interval[1]);
    // Standard error of the mean of the gains is 0.0575: the interval is near ± 1.96 of it.
    assert.ok(Math.abs(c.interval[0] - (0.15 - 1.96 * 0.0572)) < 0.02, String(c.interval[0]));
    assert.deepEqual(compare(candidate, production), c);
  });
  it('keeps the texts of at most 50 flips of a kind, and the numbers of all', () => {
    const c = compare(make(Array<boolean>(60).fill(true)), make(Array<boolean>(60).fill(false)));
    assert.deepEqual([c.better.length, c.worse.length, c.mcnemar.onlyCandidate], [50, 0, 60]);
  });
  it('refuses different rows', () => {
    assert.throws(() => compare(make([true]), []), /1 and 0 rows/);
    assert.throws(() => compare([judged('a', 'a', 1)], [judged('b', 'b', 1)]), /not the same/);
  });
});

describe('report', () => {
  it('is one page that loads nothing and escapes texts of users', () => {
    const rows = [judged('a', 'b', 0.9, 'en', '<script>alert(1)</script>'), judged('b', 'b', 0.8)];
    const better = rows.map((one) => ({ ...one, answer: { ...one.answer, intent: one.row.intent } }));
    const page = reportPage({
      version: 'router-v1.2.0',
      parent: 'router-v1.1.0',
      passedOver: null,
      made: { encoder: { kind: 'tokens' }, external: '<script>' },
      rows: { train: 1000, dev: 10, test: 2 },
      dropped: { 'empty-text': 1, duplicate: 2, 'test-text-with-automatic-label': 3, 'contradicting-labels': 4 },
      history: [
        { stage: 'fit', epoch: 1, epochs: 2, trainLoss: 2, devLoss: 1, devAccuracy: 0.5 },
        { stage: 'fit', epoch: 2, epochs: 2, trainLoss: 1, devLoss: 0.8, devAccuracy: 0.6 },
      ],
      evaluation: evaluate(rows, defaultPolicy, { mean: 1, p50: 1, p99: 2 }),
      confusion: confusion(rows),
      comparison: compare(better, rows),
      decision: { verdict: 'inconclusive', reasons: ['a < b'] },
      manifest: { x: '</pre><script>' },
    });
    assert.ok(!page.includes('<script'), 'a script got in');
    assert.ok(!/(?:src|href)=|url\(|@import/.test(page), 'something is loaded');
    assert.match(page, /color-scheme:light dark/);
    assert.match(page, /a &lt; b/);
    assert.deepEqual(confusion(rows), {
      names: ['m/a', 'm/b'],
      counts: [
        [0, 1],
        [0, 1],
      ],
      hidden: 0,
    });
    assert.deepEqual(confusion(rows, 1), { names: ['m/a'], counts: [[0]], hidden: 1 });
  });
});
