import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { policyProblems, rulesDigest } from '../../policy/adoption.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { InputError } from '../../producers/inputs.ts';
import { parsePolicy } from '../../producers/policy-input.ts';
import type { PolicyAdopted, RoutingPolicy } from '../../schemas/types.ts';

const now = Date.UTC(2026, 9, 6);
const adopted = (policy: Partial<RoutingPolicy>, fields: Partial<PolicyAdopted> = {}): PolicyAdopted => ({
  key: 'policy/0',
  policy: { ...defaultPolicy, version: 'routing-v2', ...policy },
  adopted_by: 'asha',
  reason: 'fewer wrong labels',
  adopted_at: now,
  ...fields,
});
const limits = { trust: 0.9, doubt: 0.7 };
const nowhere = { module: null, intent: null, language: null };

describe('policyProblems', () => {
  it('accepts the default policy, equal thresholds, and values at the ends of their ranges', () => {
    assert.deepEqual(policyProblems(adopted({}), now), []);
    assert.deepEqual(policyProblems(adopted({ thresholds: { trust: 1, doubt: 1 }, audit_share: 0 }), now), []);
    assert.deepEqual(policyProblems(adopted({ thresholds: { trust: 0, doubt: 0 }, audit_share: 1 }), now), []);
  });

  const wrong: readonly (readonly [string, PolicyAdopted])[] = [
    ['version', adopted({ version: '' })],
    ['version', adopted({ version: '__proto__' })],
    ['thresholds.trust', adopted({ thresholds: { trust: 1.01, doubt: 0.5 } })],
    ['thresholds.trust', adopted({ thresholds: { trust: NaN, doubt: 0.5 } })],
    ['thresholds.doubt', adopted({ thresholds: { trust: 0.5, doubt: -1 } })],
    ['thresholds.doubt', adopted({ thresholds: { trust: 0.7, doubt: 0.71 } })],
    ['exceptions[0]', adopted({ exceptions: [{ ...nowhere, thresholds: limits }] })],
    ['exceptions[0].module', adopted({ exceptions: [{ ...nowhere, module: '', thresholds: limits }] })],
    ['exceptions[0].intent', adopted({ exceptions: [{ ...nowhere, intent: 'a\nb', thresholds: limits }] })],
    ['exceptions[0].language', adopted({ exceptions: [{ ...nowhere, language: 'Hindi!', thresholds: limits }] })],
    [
      'exceptions[0].thresholds.doubt',
      adopted({ exceptions: [{ ...nowhere, module: 'food', thresholds: { trust: 0.1, doubt: 0.2 } }] }),
    ],
    [
      'exceptions',
      adopted({ exceptions: Array.from({ length: 51 }, () => ({ ...nowhere, module: 'food', thresholds: limits })) }),
    ],
    ['audit_share', adopted({ audit_share: 1.5 })],
    ['audit_share', adopted({ audit_share: NaN })],
    ['audit_salt', adopted({ audit_salt: '' })],
    ['adopted_by', adopted({}, { adopted_by: '' })],
    ['reason', adopted({}, { reason: '  ' })],
    ['reason', adopted({}, { reason: 'a\ud83d' })],
    ['adopted_at', adopted({}, { adopted_at: now + 2 * 24 * 60 * 60 * 1000 })],
  ];
  for (const [field, value] of wrong) {
    it(`names ${field}: ${policyProblems(value, now)[0]?.message ?? 'nothing'}`, () => {
      assert.deepEqual(
        policyProblems(value, now).map((problem) => problem.field),
        [field],
      );
    });
  }
});

describe('rulesDigest', () => {
  it('depends on the rules, not on the version name', () => {
    const { policy } = adopted({});
    assert.equal(rulesDigest(policy), rulesDigest(defaultPolicy));
    assert.notEqual(rulesDigest({ ...policy, audit_share: 0.06 }), rulesDigest(policy));
    assert.notEqual(
      rulesDigest({ ...policy, exceptions: [{ ...nowhere, module: 'x', thresholds: limits }] }),
      rulesDigest({ ...policy, exceptions: [{ ...nowhere, intent: 'x', thresholds: limits }] }),
    );
  });
});

describe('parsePolicy', () => {
  it('writes language tags in the case that the log uses', () => {
    const exceptions = ['TA', 'hi-latn-in'].map((language) => ({ language, thresholds: limits }));
    const parsed = parsePolicy({ version: 'v2', thresholds: limits, audit_share: 0.1, exceptions });
    assert.deepEqual(
      parsed.exceptions.map(({ language }) => language),
      ['ta', 'hi-Latn-IN'],
    );
  });

  it('fills in omitted fields', () => {
    const json = {
      version: 'v2',
      thresholds: limits,
      audit_share: 0.1,
      exceptions: [{ module: 'food', thresholds: limits }],
    };
    assert.deepEqual(parsePolicy(json), {
      ...json,
      exceptions: [{ module: 'food', intent: null, language: null, thresholds: limits }],
      audit_salt: defaultPolicy.audit_salt,
      overlap_share: defaultPolicy.overlap_share,
    });
  });

  const wrong: readonly (readonly [string, object])[] = [
    ['version', { thresholds: limits, audit_share: 0.1 }],
    ['audit_share', { version: 'v2', thresholds: limits, audit_share: '5 %' }],
    ['tresholds', { version: 'v2', thresholds: limits, tresholds: limits, audit_share: 0.1 }],
    ['thresholds.certain', { version: 'v2', thresholds: { ...limits, certain: 1 }, audit_share: 0.1 }],
    ['thresholds.doubt', { version: 'v2', thresholds: { trust: 0.5, doubt: 0.6 }, audit_share: 0.1 }],
  ];
  for (const [field, json] of wrong) {
    it(`refuses ${JSON.stringify(json)} and names ${field}`, () => {
      assert.throws(
        () => parsePolicy(json),
        (error) => error instanceof InputError && error.problems.some((problem) => problem.field === field),
      );
    });
  }
});
