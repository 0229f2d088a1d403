import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { AuditCell } from '../../policy/audit.ts';
import { unitHash } from '../../policy/hash.ts';
import { anytimeZ } from '../../policy/intervals.ts';
import { actOn, judgeProduction, judgeStep } from '../../policy/rollout.ts';
import type { ArmEvidence, StepVerdict } from '../../policy/rollout.ts';
import { versionFor } from '../../policy/traffic.ts';
import { random } from '../../trainer/learning/random.ts';

/** The evidence of a version: `labels` of its conversations are labelled, `right` of them right, in groups of `groupsOf` equal texts. */
function arm(fields: Partial<ArmEvidence> & { labels?: number; right?: number; groupsOf?: number } = {}): ArmEvidence {
  const { labels = 0, right = 0, groupsOf = 1, conversations = 400, ...rest } = fields;
  const cell: AuditCell = {
    route: 'needs-review',
    propensity: 1,
    band: 9,
    conversations,
    chosen: conversations,
    right,
    wrong: labels - right,
    unusable: 0,
    squares: labels * groupsOf,
  };
  return {
    conversations,
    cells: [cell],
    responses: conversations,
    failures: Math.round(conversations / 20),
    fallbacks: Math.round(conversations / 10),
    latencyMs: { n: conversations, sum: 5 * conversations, squares: 26 * conversations },
    confidence: { n: conversations, sum: 0.8 * conversations, squares: 0.65 * conversations },
    ...rest,
  };
}

const production = arm({ conversations: 3600, labels: 1000, right: 850 });
const table: readonly (readonly [string, ArmEvidence, StepVerdict['verdict'], RegExp])[] = [
  ['no labels', arm(), 'no-data', /none of its 400/],
  ['better', arm({ labels: 200, right: 190 }), 'success', /not worse/],
  ['equal on enough labels', arm({ conversations: 4000, labels: 3000, right: 2550 }), 'success', /not worse/],
  ['equal on few labels', arm({ labels: 100, right: 85 }), 'inconclusive', /leave open/],
  ['better on too few labels', arm({ labels: 30, right: 30 }), 'inconclusive', /needs 50 labels/],
  ['worse', arm({ labels: 100, right: 60 }), 'fail', /worse than production/],
  ['much worse, on 20 labels', arm({ labels: 20, right: 8 }), 'fail', /worse than production/],
  ['worse, on a handful', arm({ labels: 5, right: 0 }), 'inconclusive', /needs 50 labels/],
  [
    'worse, in one keystroke',
    arm({ labels: 30, groupsOf: 30 }),
    'inconclusive',
    /needs 50 labels.*on 30 \(equal texts: worth 1\)/,
  ],
  ['better, in a few keystrokes', arm({ labels: 200, right: 200, groupsOf: 20 }), 'inconclusive', /needs 50 labels/],
  ['worse, in many groups', arm({ labels: 800, right: 320, groupsOf: 20 }), 'fail', /on 800 \(equal texts: worth 40\)/],
  [
    'all labelled, few, a little worse',
    arm({ conversations: 40, labels: 40, right: 33 }),
    'inconclusive',
    /needs 50 labels/,
  ],
  ['failing, without a label', arm({ failures: 100 }), 'fail', /Failed responses: 25\.0 % of 400/],
  [
    'failing, in a few conversations',
    arm({ conversations: 20, responses: 20, failures: 20 }),
    'no-data',
    /none of its 20/,
  ],
  ['falling back', arm({ fallbacks: 150 }), 'fail', /Fallbacks/],
  ['slow', arm({ latencyMs: { n: 400, sum: 4000, squares: 41_000 } }), 'fail', /Latency: 10\.0 ms/],
  ['unsure', arm({ confidence: { n: 400, sum: 240, squares: 150 } }), 'fail', /Confidence: 0\.600/],
  ['failing, though labels are good', arm({ labels: 200, right: 195, failures: 100 }), 'fail', /Failed/],
];

/** Production when no conversation names its version, and when an LLM has answered all that do. */
const nobody = arm({ conversations: 0, cells: [] });
const llm = arm({ conversations: 3600, fallbacks: 3600, cells: [] });
/** Production when only one test request names its version; its answer was trusted, so it gets no label. */
const stray = arm({ conversations: 1, cells: [cell('auto-approved', 0.05, 1, 0, 0)] });
const besides = [nobody, llm, stray];
const alone: typeof table = [
  ['no labels', arm(), 'no-data', /none of its 400/],
  ['right', arm({ labels: 60, right: 50 }), 'success', /above 60\.0 %, the floor.*83\.3 % right/],
  ['right, on too few labels', arm({ labels: 30, right: 30 }), 'inconclusive', /needs 50 labels/],
  ['right, in a few keystrokes', arm({ labels: 200, right: 200, groupsOf: 20 }), 'inconclusive', /needs 50 labels/],
  ['wrong', arm({ labels: 60, right: 20 }), 'fail', /below 60\.0 %, the floor/],
  ['wrong, on a handful', arm({ labels: 5, right: 0 }), 'inconclusive', /needs 50 labels/],
  ['near the floor', arm({ labels: 60, right: 38 }), 'inconclusive', /leave open/],
];

/** A cell of which everything that was chosen is answered. */
function cell(
  route: AuditCell['route'],
  propensity: number,
  conversations: number,
  right: number,
  wrong: number,
): AuditCell {
  return {
    route,
    propensity,
    band: 9,
    conversations,
    chosen: right + wrong,
    right,
    wrong,
    unusable: 0,
    squares: right + wrong,
  };
}

describe('judgeStep', () => {
  for (const [name, canary, verdict, reason] of table)
    it(`${name} → ${verdict}`, () => {
      const judged = judgeStep(canary, production);
      assert.equal(judged.verdict, verdict, judged.reasons.join(' '));
      assert.match(judged.reasons.join(' '), reason);
    });
  for (const [name, canary, verdict, reason] of alone)
    it(`${name}, with nothing to compare with → ${verdict}`, () => {
      for (const beside of besides) {
        const judged = judgeStep(canary, beside, { hasFile: false });
        assert.equal(judged.verdict, verdict, judged.reasons.join(' '));
        assert.match(judged.reasons.join(' '), reason);
      }
    });
  it('rolls back a version whose responses fail, even with nothing to compare with', () => {
    for (const beside of [nobody, stray])
      for (const hasFile of [true, false]) {
        const judged = (failures: number) => judgeStep(arm({ failures }), beside, { hasFile }).verdict;
        assert.deepEqual([judged(400), judged(200), judged(100)], ['fail', 'fail', 'no-data']);
      }
  });
  it('compares failed responses with those of the other version where it has any, however many of its own fail', () => {
    const half = arm({ conversations: 110, responses: 110, failures: 60 });
    const other = arm({ responses: 95, failures: 50 });
    assert.notEqual(judgeStep(half, other).verdict, 'fail');
    assert.notEqual(judgeProduction(half, other).verdict, 'fail');
  });
  it('asks for `model_version` where no conversation names a version that has a file', () => {
    for (const beside of besides) {
      const { verdict, reasons } = judgeStep(arm({ labels: 200, right: 195 }), beside);
      assert.equal(verdict, 'inconclusive');
      assert.match(reasons.join(' '), /`model_version`/);
    }
  });
  it('weights an audited label by the traffic that it represents', () => {
    // Of 1,000 answers, 900 are trusted, 60 of these audited, and 30 of these wrong: that outweighs 100 right reviews.
    const canary = arm({
      conversations: 1000,
      cells: [cell('auto-approved', 0.05, 900, 30, 30), cell('needs-review', 1, 100, 100, 0)],
    });
    assert.equal(judgeStep(canary, production).verdict, 'fail');
  });
  it('decides although chance audited none of the first trusted conversations, before another audit share was adopted', () => {
    // Nobody is asked about the first 40, so they never get a label.
    const judged = (share: number) =>
      judgeStep(
        arm({
          conversations: 4140,
          cells: [
            cell('auto-approved', 0.05, 40, 0, 0),
            cell('auto-approved', 0.25, 4000, 1000 * share, 1000 * (1 - share)),
            { ...cell('priority-review', 1, 1, 0, 0), chosen: 1, unusable: 1 },
            cell('needs-review', 1, 100, 85, 15),
          ],
        }),
        production,
      );
    assert.deepEqual(
      [0.9, 0.6].map((share) => judged(share).verdict),
      ['success', 'fail'],
    );
  });
});

/** The evidence of a version in production, and the verdicts against `production` above and against a version that no conversation names. */
const since: readonly (readonly [string, ArmEvidence, StepVerdict['verdict'], StepVerdict['verdict']])[] = [
  ['no labels', arm(), 'inconclusive', 'inconclusive'],
  ['as good', arm({ labels: 200, right: 170 }), 'inconclusive', 'inconclusive'],
  ['worse, within the margin', arm({ conversations: 9000, labels: 9000, right: 7480 }), 'inconclusive', 'inconclusive'],
  ['ten points worse', arm({ conversations: 3000, labels: 1000, right: 750 }), 'fail', 'inconclusive'],
  ['worse than the floor', arm({ labels: 200, right: 80 }), 'fail', 'fail'],
  ['wrong, on a handful', arm({ labels: 5, right: 0 }), 'inconclusive', 'inconclusive'],
  ['responses that fail', arm({ failures: 200 }), 'fail', 'fail'],
  ['responses that fail from the next day on', arm({ conversations: 4000, failures: 500 }), 'fail', 'inconclusive'],
  ['slow', arm({ latencyMs: { n: 400, sum: 9000, squares: 210_000 } }), 'inconclusive', 'inconclusive'],
];

describe('judgeProduction', () => {
  for (const [name, now, compared, alone] of since)
    it(`${name} → ${compared}`, () => {
      assert.deepEqual(
        [production, nobody].map((before) => judgeProduction(now, before).verdict),
        [compared, alone],
      );
    });
  it('rolls back at most 3 of 100 equally good versions, judged after every 20 labels', () => {
    const right = (seed: number, i: number) => unitHash(`${seed}/after/${i}`) < 0.85;
    const before = (seed: number) =>
      arm({ labels: 200, right: Array.from({ length: 200 }, (_, i) => right(seed, -i)).filter(Boolean).length });
    const back = Array.from({ length: 100 }, (_, seed) => {
      const past = before(seed);
      let hits = 0;
      for (let i = 1; i <= 4000; i++) {
        hits += Number(right(seed, i));
        if (i % 20 > 0) continue;
        const now = arm({ conversations: 3 * i, labels: i, right: hits });
        if (judgeProduction(now, past).verdict === 'fail') return true;
      }
      return false;
    }).filter(Boolean).length;
    assert.ok(back <= 3, `${back} of 100`);
  });
});

describe('actOn', () => {
  const verdicts = ['success', 'fail', 'inconclusive', 'no-data'] as const;
  it('advances on success only, and rolls back on fail at every step', () => {
    for (const traffic of [10, 25, 50])
      for (const verdict of verdicts) {
        const { kind } = actOn(verdict, traffic);
        assert.equal(
          kind,
          { success: 'set-traffic', fail: 'roll-back', inconclusive: 'hold', 'no-data': 'hold' }[verdict],
        );
      }
    const steps = [10, 25, 50].map((traffic) => actOn('success', traffic));
    assert.deepEqual(
      steps.map((step) => step.kind === 'set-traffic' && step.traffic),
      [25, 50, 100],
    );
  });
});

describe('versionFor', () => {
  const at = (traffic: number) => ({ production: 'router-v1.0.0', canary: { version: 'router-v1.1.0', traffic } });
  it('is sticky: an id that gets the canary keeps it as the share grows', () => {
    fc.assert(
      fc.property(fc.string(), (id) => {
        const canary = [10, 25, 50, 100].map((traffic) => versionFor(at(traffic), id) === 'router-v1.1.0');
        assert.deepEqual(
          canary,
          [...canary].sort((a, b) => Number(a) - Number(b)),
        );
        assert.equal(canary.at(-1), true);
        assert.equal(versionFor({ production: 'router-v1.0.0', canary: null }, id), 'router-v1.0.0');
      }),
    );
  });
  it('gives each version about its share', () => {
    const share = Array.from({ length: 10_000 }, (_, i) => versionFor(at(25), `c-${i}`)).filter((v) =>
      v.endsWith('1.0'),
    ).length;
    assert.ok(Math.abs(share - 2500) < 150, `${share}`);
  });
});

/**
 * A rollout on a simulated clock: 400 conversations an hour, answered by production (85 % right) or the canary, every one
 * labelled `delayHours` later (never when it is Infinity), judged each hour on what the step has seen. For the `first` version,
 * no conversation names the version in production.
 */
function rollout(canaryAccuracy: number, delayHours: number, hours: number, labelsFrom = 0, first = false) {
  const history: { hour: number; traffic: number; verdict: string }[] = [];
  let [traffic, since] = [10, 0];
  /** For each hour, the conversations of each version and how many of them were answered right. */
  const counts: Record<string, { asked: number; right: number }>[] = [];
  for (let hour = 0; hour < hours; hour++) {
    const deployment = { production: 'router-v1.0.0', canary: { version: 'router-v1.1.0', traffic } };
    const counted = { 'router-v1.0.0': { asked: 0, right: 0 }, 'router-v1.1.0': { asked: 0, right: 0 } };
    counts.push(counted);
    for (let i = 0; i < 400; i++) {
      const id = `${hour}/${i}`;
      const version = versionFor(deployment, id) as keyof typeof counted;
      const accuracy = version === 'router-v1.1.0' ? canaryAccuracy : 0.85;
      counted[version].asked++;
      if (unitHash(`right/${id}`) < accuracy) counted[version].right++;
    }
    const evidence = (name: string) => {
      const sum = (what: 'asked' | 'right', end: number) =>
        counts.slice(since, Math.max(since, end)).reduce((total, one) => total + (one[name]?.[what] ?? 0), 0);
      const conversations = sum('asked', hour + 1);
      const labelled = hour >= labelsFrom ? hour + 1 - delayHours : 0;
      return arm({
        conversations,
        failures: Math.round(0.05 * conversations),
        fallbacks: Math.round(0.1 * conversations),
        labels: sum('asked', labelled),
        right: sum('right', labelled),
      });
    };
    const beside = first ? nobody : evidence('router-v1.0.0');
    const judged = judgeStep(evidence('router-v1.1.0'), beside, { hasFile: !first });
    const action = actOn(judged.verdict, traffic);
    history.push({ hour, traffic, verdict: judged.verdict });
    if (action.kind === 'roll-back') return { end: 'rolled back', traffic, history };
    if (action.kind === 'set-traffic') [traffic, since] = [action.traffic, hour + 1];
    if (traffic === 100) return { end: 'production', traffic, history };
  }
  return { end: 'canary', traffic, history };
}

/** How the first step of a version that is 87 % right ends against one that is 85 % right, judged after every 20 immediate labels. */
function oftenJudged(seed: number): string {
  const counts = { canary: [0, 0], production: [0, 0] };
  for (let i = 0; i < 20_000; i++) {
    const which = unitHash(`${seed}/arm/${i}`) < 0.1 ? 'canary' : 'production';
    const right = unitHash(`${seed}/right/${i}`) < (which === 'canary' ? 0.87 : 0.85);
    const [labels = 0, hits = 0] = counts[which];
    counts[which] = [labels + 1, hits + Number(right)];
    if (i % 20 > 0) continue;
    const of = ([labels = 0, right = 0]: number[]) => arm({ conversations: 3 * labels, labels, right });
    const { verdict } = judgeStep(of(counts.canary), of(counts.production));
    if (verdict === 'success' || verdict === 'fail') return verdict;
  }
  return 'undecided';
}

/** Whether a version as good as production is ever rolled back, judged after each of its first 100 labels and then after every tenth. */
function takenBack(next: () => number, share: number): boolean {
  const counts = { canary: [0, 0], production: [0, 0] };
  for (let i = 0; i < 10_000; i++) {
    const which = next() < 0.1 ? 'canary' : 'production';
    const [labels = 0, hits = 0] = counts[which];
    counts[which] = [labels + 1, hits + Number(next() < share)];
    if (which === 'production' || (labels > 100 && labels % 10 > 0)) continue;
    const of = ([labels = 0, right = 0]: number[]) => arm({ conversations: 3 * labels, labels, right });
    if (judgeStep(of(counts.canary), of(counts.production)).verdict === 'fail') return true;
  }
  return false;
}

/**
 * How the first step of a version as good as production ends when one keystroke answers a group of 15 equal texts, judged after
 * each group.
 */
function judgedInGroups(seed: number): string {
  const counts = { canary: [0, 0], production: [0, 0] };
  for (let i = 0; i < 1500; i++) {
    const which = unitHash(`${seed}/group/${i}`) < 0.1 ? 'canary' : 'production';
    const right = unitHash(`${seed}/right of group/${i}`) < 0.85 ? 15 : 0;
    const [labels = 0, hits = 0] = counts[which];
    counts[which] = [labels + 15, hits + right];
    const of = ([labels = 0, right = 0]: number[]) => arm({ conversations: 3 * labels, labels, right, groupsOf: 15 });
    const { verdict } = judgeStep(of(counts.canary), of(counts.production));
    if (verdict === 'success' || verdict === 'fail') return verdict;
  }
  return 'undecided';
}

describe('a rollout on a simulated clock', () => {
  it('takes a better model to 100 %, step by step', () => {
    const { end, history } = rollout(0.92, 2, 200);
    assert.equal(end, 'production');
    assert.deepEqual([...new Set(history.map(({ traffic }) => traffic))], [10, 25, 50]);
  });
  it('rolls back a worse model within its first step', () => {
    const { end, traffic } = rollout(0.7, 2, 200);
    assert.deepEqual([end, traffic], ['rolled back', 10]);
  });
  it('holds as long as no labels arrive', () => {
    const { end, traffic, history } = rollout(0.92, Infinity, 500);
    assert.deepEqual([end, traffic], ['canary', 10]);
    assert.ok(history.every(({ verdict }) => verdict === 'no-data'));
  });
  it('takes the first version to 100 % or back on its own labels, and holds it while none arrive', () => {
    const ends = [0.8, 0.4].map((accuracy) => rollout(accuracy, 2, 200, 0, true).end);
    assert.deepEqual([...ends, rollout(0.8, Infinity, 200, 0, true).end], ['production', 'rolled back', 'canary']);
  });
  it('promotes all of 40 versions that are 2 points better, however often they are judged', () => {
    const ends = Array.from({ length: 40 }, (_, seed) => oftenJudged(seed));
    assert.deepEqual([...new Set(ends)], ['success']);
  });
  it('rolls back at most one in 40 equally good versions over all judgements of a trial that nothing else ends', () => {
    for (const share of [0.6, 0.85]) {
      const next = random(7);
      const back = Array.from({ length: 200 }, () => takenBack(next, share)).filter(Boolean).length;
      assert.ok(back <= 5, `${back} of 200 with ${share}`);
    }
  });
  it('is most sensitive to a worse version at about 50 labels', () => {
    const widths = Array.from({ length: 1000 }, (_, i) => anytimeZ(i + 1));
    const narrowest = 1 + widths.indexOf(Math.min(...widths));
    assert.ok(Math.abs(narrowest - 50) <= 1, String(narrowest));
  });
  it('rolls back at most 3 of 100 equally good versions when equal texts are answered together', () => {
    const ends = Array.from({ length: 100 }, (_, seed) => judgedInGroups(seed));
    const failed = ends.filter((end) => end === 'fail').length;
    assert.ok(failed <= 3, `${failed} of 100`);
  });
  it('decides when labels come late', () => {
    for (const [accuracy, outcome] of [
      [0.92, 'production'],
      [0.7, 'rolled back'],
    ] as const) {
      const { end, history } = rollout(accuracy, 0, 400, 100);
      assert.equal(end, outcome);
      assert.ok(history.slice(0, 100).every(({ traffic, verdict }) => traffic === 10 && verdict === 'no-data'));
    }
  });
});
