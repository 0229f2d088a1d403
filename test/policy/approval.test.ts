import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countSample, sampleChanges, sampleOf } from '../../policy/approval.ts';
import { decide, defaultPolicy } from '../../policy/routing.ts';
import type { SampleApproved, SampleEvent } from '../../schemas/types.ts';
import { conversation } from '../fixtures.ts';

const approved: SampleApproved = {
  conversation_id: 'c-1',
  text: 'where is my order?',
  language: 'en',
  intent: 'track_order',
  module: 'food',
  entities: [],
  source: 'auto',
  confidence: 0.9,
  reviewer: null,
  policy_version: 'routing-v1',
  model_version: 'router-v1.0.0',
  review_propensity: null,
  captured_at: 0,
  approved_at: 0,
  stands: true,
  events: 0,
};
const event: SampleEvent = { conversation_id: 'c-1', approved, withdrawn: null, erased_at: null };
const at = (offset: number) => ({ dataSet: 'default', partition: 0, offset });

describe('the count of approved samples', () => {
  it('grows with each sample, by module, intent and language', () => {
    const count = countSample(countSample(undefined, event, at(0)), event, at(1));
    assert.equal(count.approved, 2);
    assert.deepEqual(count.by_intent, { 'food/track_order': 2 });
    assert.equal(count.next_offset, 2);
  });

  it('does not count what it has counted, when the log is read again from the start', () => {
    const count = countSample(countSample(undefined, event, at(0)), event, at(1));
    assert.deepEqual(countSample(count, event, at(0)), count);
    assert.deepEqual(countSample(count, event, at(1)), count);
    assert.equal(countSample(count, event, at(2)).approved, 3);
  });
});

describe('a sample', () => {
  const decision = decide(defaultPolicy, conversation({ model_version: 'router-v1.3.0' }));

  it('says which version answered', () => assert.equal(sampleOf(decision)?.model_version, 'router-v1.3.0'));

  it('is not approved anew because it was kept before versions or propensities were', () => {
    const now = sampleOf({ ...decision, audit: true, audit_propensity: 0.05 });
    assert.ok(now);
    assert.deepEqual(sampleChanges({ ...now, model_version: null, review_propensity: null }, now, decision), []);
  });
});
