import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countSample } from '../../policy/approval.ts';
import type { SampleApproved, SampleEvent } from '../../schemas/types.ts';

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
