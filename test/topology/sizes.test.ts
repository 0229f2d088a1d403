/** No valid record may lead to one that is too large for the broker: the processor would try to write it forever. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultPolicy } from '../../policy/routing.ts';
import { policyKeys } from '../../producers/policies.ts';
import type { ConversationCaptured, RoutingPolicy } from '../../schemas/types.ts';
import { MAX_EXTERNAL_BYTES } from '../../stream/batch.ts';
import type { Topic } from '../../stream/topic.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { conversation, review } from '../fixtures.ts';
import { largestValue, start } from './driver.ts';

/** Three bytes of UTF-8 for each UTF-16 code unit: no text has more. */
const letters = (length: number, i = 0) => String(i).padStart(length, '\u0915');
const name = letters(100);
const language = `en-aaaaa${'-aaaaaaaa'.repeat(3)}`;

function largest(text: (length: number) => string): ConversationCaptured {
  const entity = { name, value: text(1000), start: 0, end: 32_768 };
  return conversation({
    conversation_id: letters(200),
    user_id: letters(200),
    session_id: letters(200),
    user_message: text(32_768),
    language,
    nlu_intent: name,
    nlu_module: name,
    model_version: name,
    entities: Array.from({ length: 200 }, () => entity),
    runners_up: Array.from({ length: 10 }, () => ({ intent: name, module: name, confidence: 0.01 })),
  });
}

const policy: RoutingPolicy = {
  ...defaultPolicy,
  version: name,
  audit_salt: name,
  audit_share: 1,
  overlap_share: 1,
  exceptions: Array.from({ length: 50 }, () => ({ ...defaultPolicy, module: name, intent: name, language })),
};

describe('the largest valid records', () => {
  for (const [what, text] of [
    ['letters of three bytes', (length: number) => letters(length)],
    ['addresses, which masking makes longer', (length: number) => 'a@b.c '.repeat(length).slice(0, length)],
  ] as const)
    it(`lead to no record that is too large for the broker: ${what}`, () => {
      const driver = start();
      const sent = largest(text);
      const id = sent.conversation_id;
      const adoption = { policy, adopted_by: letters(200), reason: letters(500), adopted_at: Date.UTC(2026, 9, 5) };
      for (const key of policyKeys(PARTITIONS)) driver.send(topics.policies, key, { key, ...adoption });
      driver.drain();
      const answer = (i: number) => {
        const submitted = review({
          conversation_id: id,
          verdict: 'correct',
          corrected_intent: letters(100, i),
          corrected_module: name,
          reviewer: letters(200, i),
          review_id: letters(200, i),
          withdraws: letters(200, 1000 + i),
          shown: { intent: name, module: name, confidence: 0.01, model_version: name },
        });
        driver.send(topics.reviews, id, submitted);
      };
      for (let i = 0; i < 16; i++) answer(i);
      driver.drain();
      const waiting = `${id.slice(1)}-`;
      for (const conversation_id of [id, waiting])
        driver.send(topics.conversations, conversation_id, { ...sent, conversation_id });
      for (let i = 16; i < 64; i++) answer(i);
      driver.drain();
      assert.deepEqual(
        driver.records(topics.deadLetters).map(({ value }) => value?.message),
        [],
      );
      assert.equal(driver.records(topics.conversationEvents).length, 66);
      assert.ok(driver.table(topics.reviewQueue).has(waiting));
      for (const topic of Object.values<Topic>(topics)) {
        const bytes = largestValue(driver, topic);
        assert.ok(bytes < MAX_EXTERNAL_BYTES, `${topic.name}: ${String(bytes)} bytes`);
      }
    });
});
