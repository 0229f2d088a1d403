import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decide, defaultPolicy, route } from '../../policy/routing.ts';
import { applyReview } from '../../policy/standing.ts';
import { sampleChanges, sampleOf } from '../../policy/approval.ts';
import { normalise, reviewItem, waits } from '../../policy/review-priority.ts';
import type { NluProvider, Verdict } from '../../schemas/types.ts';
import { conversation, review } from '../fixtures.ts';

const above = 0.85 + Number.EPSILON;
const below = 0.7 - Number.EPSILON;
const table: readonly (readonly [NluProvider, number | null, string])[] = [
  ['indicbert', 1, 'auto_approved'],
  ['indicbert', above, 'auto_approved'],
  ['indicbert', 0.85, 'needs_review'],
  ['indicbert', 0.7, 'needs_review'],
  ['indicbert', below, 'priority_review'],
  ['indicbert', 0, 'priority_review'],
  ['indicbert', null, 'priority_review'],
  ['indicbert', NaN, 'priority_review'],
  ['llm', 0.99, 'priority_review'],
  ['llm', 0.8, 'priority_review'],
  ['llm', null, 'priority_review'],
  ['other', 0.99, 'needs_review'],
  ['other', 0.85, 'needs_review'],
  ['other', 0.7, 'needs_review'],
  ['other', 0.69, 'priority_review'],
  ['other', NaN, 'priority_review'],
];

describe('route', () => {
  for (const [nlu_provider, nlu_confidence, expected] of table) {
    it(`${nlu_provider} at ${String(nlu_confidence)} → ${expected}`, () => {
      assert.equal(route(defaultPolicy, conversation({ nlu_provider, nlu_confidence })).route, expected);
    });
  }

  it('uses the first exception that matches module, intent and language', () => {
    const strict = { trust: 0.95, doubt: 0.9 };
    const policy = {
      ...defaultPolicy,
      exceptions: [{ module: 'payment', intent: null, language: 'ta', thresholds: strict }],
    };
    const sent = { nlu_confidence: 0.92, nlu_module: 'payment' };
    assert.equal(route(policy, conversation({ ...sent, language: 'ta' })).route, 'needs_review');
    assert.equal(route(policy, conversation({ ...sent, language: 'hi' })).route, 'auto_approved');
  });

  it('audits the configured share of trusted answers, always the same ones, and records the propensity', () => {
    const ids = Array.from({ length: 20_000 }, (_, i) => `conversation-${String(i)}`);
    const audited = ids.filter((conversation_id) => route(defaultPolicy, conversation({ conversation_id })).audit);
    assert.ok(
      Math.abs(audited.length / ids.length - 0.05) < 0.006,
      `audited ${String(audited.length)} of ${String(ids.length)}`,
    );
    assert.equal(route(defaultPolicy, conversation()).audit_propensity, 0.05);
    assert.equal(route(defaultPolicy, conversation({ nlu_confidence: 0.8 })).audit_propensity, null);
  });

  it('is monotonic: more confidence never means more review', () => {
    const rank = { priority_review: 0, needs_review: 1, auto_approved: 2 };
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), (a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)].map(
          (c) => rank[route(defaultPolicy, conversation({ nlu_confidence: c })).route],
        );
        return (low ?? 0) <= (high ?? 0);
      }),
    );
  });
});

describe('reviews', () => {
  const verdicts: readonly (readonly [number, Verdict, string, string | undefined])[] = [
    [0.99, 'approve', 'approved', 'track_order'],
    [0.99, 'correct', 'approved', 'cancel_order'],
    [0.99, 'reject', 'rejected', undefined],
    [0.99, 'skip', 'auto_approved', 'track_order'],
    [0.5, 'approve', 'approved', 'track_order'],
    [0.5, 'correct', 'approved', 'cancel_order'],
    [0.5, 'reject', 'rejected', undefined],
    [0.5, 'skip', 'skipped', undefined],
  ];
  for (const [nlu_confidence, verdict, status, intent] of verdicts) {
    it(`${verdict} at confidence ${String(nlu_confidence)} → ${status}, label ${String(intent)}`, () => {
      const decision = applyReview(decide(defaultPolicy, conversation({ nlu_confidence })), review({ verdict }));
      assert.equal(decision.review_status, status);
      assert.equal(sampleOf(decision)?.intent, intent);
      assert.equal(waits(decision), false);
    });
  }

  it('a later skip never takes back an answer, a later answer supersedes', () => {
    const corrected = applyReview(decide(defaultPolicy, conversation()), review({ verdict: 'correct' }));
    assert.equal(sampleOf(applyReview(corrected, review({ verdict: 'skip' })))?.intent, 'cancel_order');
    assert.equal(sampleOf(applyReview(corrected, review({ verdict: 'reject' }))), undefined);
  });

  it('the sample events of any sequence of verdicts add up to the sample that stands', () => {
    const verdict = fc.constantFrom<Verdict>('approve', 'correct', 'reject', 'skip');
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1 }), fc.array(verdict, { maxLength: 8 }), (nlu_confidence, sequence) => {
        let decision = decide(defaultPolicy, conversation({ nlu_confidence }));
        let events = sampleChanges(undefined, sampleOf(decision), decision);
        let standing = events.length;
        for (const next of sequence) {
          const before = sampleOf(decision);
          decision = applyReview(decision, review({ verdict: next }));
          events = sampleChanges(before, sampleOf(decision), decision);
          for (const event of events) standing += event.approved ? 1 : -1;
          assert.ok(standing === 0 || standing === 1);
        }
        assert.equal(standing, sampleOf(decision) ? 1 : 0);
      }),
    );
  });
});

describe('review items', () => {
  const item = (fields: Parameters<typeof conversation>[0]) => reviewItem(decide(defaultPolicy, conversation(fields)));

  const useful = (fields: Parameters<typeof conversation>[0]) => item({ runners_up: [], ...fields })?.score ?? 0;

  it('ranks what is least certain first, failures before successes', () => {
    const unsure = [0.84, 0.72, 0.5, 0.2, 0.05, 0].map((nlu_confidence) => useful({ nlu_confidence }));
    assert.deepEqual(
      unsure,
      [...unsure].sort((a, b) => a - b),
    );
    assert.equal(new Set(unsure).size, unsure.length);
    assert.ok(useful({ nlu_confidence: 0.72 }) < useful({ nlu_confidence: 0.72, response_success: false }));
    assert.equal(useful({ nlu_confidence: null, nlu_provider: 'llm', response_success: false }), 1);
  });

  it('ranks an answer higher where another label is nearly as likely', () => {
    const beside = (confidence: number) =>
      useful({ nlu_confidence: 0.45, runners_up: [{ intent: 'cancel_order', module: 'food', confidence }] });
    assert.ok(beside(0.1) < beside(0.44));
    assert.equal(beside(0.9), beside(0.45), 'a runner-up above the answer counts as a tie');
  });

  it('gives messages that differ in case, digits and punctuation one fingerprint, and keeps Indic vowel signs', () => {
    const a = item({ nlu_confidence: 0.5, user_message: 'Track order 123!' });
    const b = item({ nlu_confidence: 0.5, user_message: 'track  ORDER 98' });
    assert.equal(a?.fingerprint, b?.fingerprint);
    assert.notEqual(normalise('की'), normalise('का'));
  });

  it('puts audits into one lane with items drawn by chance, under the same reason', () => {
    const audited = reviewItem({ ...decide(defaultPolicy, conversation()), audit: true });
    const others = Array.from({ length: 800 }, (_, i) =>
      item({ conversation_id: `c-${String(i)}`, nlu_confidence: 0.75 }),
    ).filter((one) => one?.drawn === true);
    assert.ok(others.length > 25 && others.length < 80, String(others.length));
    assert.deepEqual(new Set([audited, ...others].map((one) => one?.reasons.join())), new Set(['drawn-by-chance']));
  });
});
