import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countSample, sampleChanges, sampleOf } from '../../policy/approval.ts';
import { decide, defaultPolicy } from '../../policy/routing.ts';
import type { ApprovedSampleCount, SampleApproved, SampleEvent } from '../../schemas/types.ts';
import { conversation, sample } from '../fixtures.ts';

const approved = sample({ source: 'auto', reviewer: null });
const event: SampleEvent = { conversation_id: 'c-1', approved, withdrawn: null, erased_at: null };
const at = (offset: number) => ({ dataSet: 'default', partition: 0, offset });

describe('the count of approved samples', () => {
  it('grows with each sample, by module, intent and language', () => {
    const count = countSample(countSample(undefined, event, at(0)), event, at(1));
    assert.equal(count.approved, 2);
    assert.deepEqual(count.by_intent, { 'food/track_order': 2 });
    assert.equal(count.next_offset, 2);
  });

  it('counts no sample twice when the log is read again from the start', () => {
    const count = countSample(countSample(undefined, event, at(0)), event, at(1));
    assert.deepEqual(countSample(count, event, at(0)), count);
    assert.deepEqual(countSample(count, event, at(1)), count);
    assert.equal(countSample(count, event, at(2)).approved, 3);
  });
});

describe('the count of more than 500 names', () => {
  const letters = '\u0915'.repeat(94);
  const labelled = (i: number): SampleApproved => {
    const name = `${letters}${String(100_000 + i)}`;
    return { ...approved, module: name, intent: name, language: `en${String(i)}` };
  };
  const add = (i: number): SampleEvent => ({ ...event, approved: labelled(i) });
  const withdraw = (i: number): SampleEvent => ({
    ...event,
    approved: null,
    withdrawn: { ...labelled(i), reason: 'rejected', withdrawn_at: 0 },
  });
  const count = (events: readonly SampleEvent[], from?: ApprovedSampleCount) =>
    events.reduce((so, one) => countSample(so, one, at(so?.next_offset ?? 0)), from) as ApprovedSampleCount;
  const ids = Array.from({ length: 1500 }, (_, i) => i);
  const full = count(ids.map(add));

  it('puts all names after the first 500 under "(other)", so that its record stays small enough for its topic', () => {
    for (const by of [full.by_module, full.by_intent, full.by_language]) {
      assert.equal(Object.keys(by).length, 501);
      assert.equal(by['(other)'], 1000);
    }
    assert.ok(Buffer.byteLength(JSON.stringify(full)) < 600_000);
  });

  it('stays exact for the listed names and in total, in whatever order samples are withdrawn', () => {
    const some = count([...ids.filter((i) => i % 3 === 0).map(withdraw), add(0), add(1), add(1)], full);
    for (const by of [some.by_module, some.by_intent, some.by_language])
      assert.equal(
        Object.values(by).reduce((sum, samples) => sum + samples, 0),
        some.approved,
      );
    assert.deepEqual([some.by_language['en1'], some.by_language['en2'], some.by_language['en3']], [3, 1, undefined]);
    const left = [...ids.filter((i) => i % 3 !== 0), 0, 1, 1].map(withdraw);
    const { by_module, by_intent, by_language, approved: none } = count(left.reverse(), some);
    assert.deepEqual(
      { by_module, by_intent, by_language, none },
      { by_module: {}, by_intent: {}, by_language: {}, none: 0 },
    );
  });

  it('lists a new name again once there is room', () => {
    const few = count(ids.slice(500).map(withdraw), full);
    assert.equal(count([withdraw(0), add(2000)], few).by_language['en2000'], 1);
  });
});

describe('a sample', () => {
  const decision = decide(defaultPolicy, conversation({ model_version: 'router-v1.3.0' }));

  it('names the model version that answered', () => assert.equal(sampleOf(decision)?.model_version, 'router-v1.3.0'));

  it('is not approved again because it was stored before samples had versions and propensities', () => {
    const now = sampleOf({ ...decision, audit: true, audit_propensity: 0.05 });
    assert.ok(now);
    assert.deepEqual(sampleChanges({ ...now, model_version: null, review_propensity: null }, now, decision), []);
  });
});
