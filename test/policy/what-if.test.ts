import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultPolicy, route } from '../../policy/routing.ts';
import { drawnByChance } from '../../policy/review-priority.ts';
import { startWhatIf } from '../../policy/what-if.ts';
import type { Judgement } from '../../policy/what-if.ts';
import { conversation } from '../fixtures.ts';

const strict = { ...defaultPolicy, version: 'v2', thresholds: { trust: 0.95, doubt: 0.8 } };
const loose = { ...defaultPolicy, version: 'v3', thresholds: { trust: 0.75, doubt: 0.7 } };
const options = { secondsPerAnswer: 20, examples: 2 };

describe('whatIf', () => {
  it('counts transitions, review hours and examples', () => {
    const tally = startWhatIf({ ...options, policy: { ...strict, audit_share: 0, overlap_share: 0 } });
    const before = { ...defaultPolicy, audit_share: 0 };
    for (let i = 0; i < 180; i++) {
      const nlu_confidence = [0.99, 0.9, 0.75][i % 3] ?? 0;
      tally.add(conversation({ conversation_id: `c-${String(i)}`, nlu_confidence }), before, undefined);
    }
    const { transitions, review, conversations } = tally.report();
    assert.equal(conversations, 180);
    assert.deepEqual(
      transitions.map(({ from, to, conversations: n, examples }) => [from, to, n, examples.length]),
      [
        ['auto_approved', 'auto_approved', 60, 2],
        ['auto_approved', 'needs_review', 60, 2],
        ['needs_review', 'priority_review', 60, 2],
      ],
    );
    assert.deepEqual([review.before.conversations, review.after.conversations], [60, 120]);
    assert.equal(review.after.hours, (120 * 20) / 3600);
  });

  it('counts the time of both people where two are asked', () => {
    const tally = startWhatIf({ ...options, policy: { ...strict, audit_share: 0, overlap_share: 1 } });
    tally.add(conversation({ nlu_confidence: 0.9 }), { ...strict, overlap_share: 0 }, undefined);
    const { before, after } = tally.report().review;
    assert.deepEqual([before.conversations, before.hours * 3600], [1, 20]);
    assert.deepEqual([after.conversations, after.hours * 3600], [1, 40]);
  });

  it('shows no example that waits for a blind review, and every example that was judged', () => {
    const audited = (id: string) =>
      route(defaultPolicy, conversation({ conversation_id: id, nlu_confidence: 0.9 })).audit;
    const ids = Array.from({ length: 1000 }, (_, i) => `c-${String(i)}`);
    const blind = new Set(ids.filter((id) => audited(id) || drawnByChance(id)));
    assert.ok(blind.size > 50);
    const shown = (judgement: Judgement | undefined) => {
      const tally = startWhatIf({ ...options, examples: 1000, policy: defaultPolicy });
      for (const id of ids) tally.add(conversation({ conversation_id: id, nlu_confidence: 0.9 }), null, judgement);
      return tally
        .report()
        .transitions.flatMap(({ examples }) => examples.map(({ conversation_id }) => conversation_id));
    };
    assert.deepEqual(
      shown(undefined),
      ids.filter((id) => !blind.has(id)),
    );
    assert.deepEqual(shown('right'), ids);
  });

  it('estimates wrong approvals near the truth from the audited ones alone, with an interval that covers it', () => {
    const tally = startWhatIf({ ...options, policy: defaultPolicy });
    let wrong = 0;
    for (let i = 0; i < 40_000; i++) {
      const c = conversation({ conversation_id: `c-${String(i)}`, nlu_confidence: 0.9 });
      const isWrong = i % 10 === 0;
      if (isWrong) wrong++;
      tally.add(c, null, route(defaultPolicy, c).audit ? (isWrong ? 'wrong' : 'right') : undefined);
    }
    const { before } = tally.report().wrong;
    const [low, high] = before.interval ?? [NaN, NaN];
    assert.ok(low < wrong && wrong < high && high - low < wrong, JSON.stringify(before));
    assert.ok(Math.abs((before.expected ?? NaN) - wrong) < wrong / 4);
  });

  it('uses reviews for conversations that would become trusted, and counts those that nobody has judged', () => {
    const tally = startWhatIf({ ...options, policy: loose });
    for (let i = 0; i < 100; i++)
      tally.add(
        conversation({ conversation_id: `c-${String(i)}`, nlu_confidence: 0.8 }),
        null,
        i < 20 ? 'wrong' : 'right',
      );
    for (let i = 0; i < 50; i++)
      tally.add(conversation({ conversation_id: `d-${String(i)}`, nlu_confidence: 0.9 }), null, undefined);
    const { after, before } = tally.report().wrong;
    assert.deepEqual([after.auto_approved, after.unknown, after.judged, after.expected], [150, 50, 100, 20]);
    assert.deepEqual([before.expected, before.interval, before.unknown], [null, null, 50]);
  });
});
