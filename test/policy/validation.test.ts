import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { conversationProblems, reviewProblems } from '../../policy/validation.ts';
import type { ConversationCaptured, ReviewSubmitted } from '../../schemas/types.ts';
import { conversation, review } from '../fixtures.ts';

const arrived = Date.UTC(2026, 10, 1);
const entity = { name: 'dish', value: 'dosa', start: null, end: null };

describe('conversationProblems', () => {
  it('accepts a tag of 35 characters', () =>
    assert.deepEqual(
      conversationProblems(conversation({ language: `en-aaaaa${'-aaaaaaaa'.repeat(3)}` }), arrived),
      [],
    ));

  it('accepts a valid conversation, and a confidence of 0, of 1, absent or NaN', () => {
    for (const nlu_confidence of [0, 1, null, NaN])
      assert.deepEqual(conversationProblems(conversation({ nlu_confidence }), arrived), []);
  });
  const bad: readonly (readonly [string, Partial<ConversationCaptured>])[] = [
    ['conversation_id', { conversation_id: '' }],
    ['conversation_id', { conversation_id: 'x'.repeat(201) }],
    ['conversation_id', { conversation_id: 'a\u0000b' }],
    ['conversation_id', { conversation_id: 'a\ud83d' }],
    ['user_message', { user_message: ' \n' }],
    ['user_message', { user_message: 'x'.repeat(40_000) }],
    ['language', { language: 'not a tag' }],
    ['language', { language: `en${'-aaaaaaaa'.repeat(4)}` }],
    ['nlu_intent', { nlu_intent: '' }],
    ['nlu_intent', { nlu_intent: '__proto__' }],
    ['nlu_module', { nlu_module: 'constructor' }],
    ['nlu_confidence', { nlu_confidence: 1.7 }],
    ['nlu_confidence', { nlu_confidence: -0.1 }],
    ['nlu_confidence', { nlu_confidence: Infinity }],
    ['entities[0].name', { entities: [{ ...entity, name: '__proto__' }] }],
    ['entities[0].start', { entities: [{ ...entity, start: 3, end: 900 }] }],
    ['entities[0].start', { entities: [{ ...entity, start: 3 }] }],
    ['entities[0].value', { entities: [{ ...entity, value: 'x'.repeat(1001) }] }],
    ['entities', { entities: Array.from({ length: 201 }, () => entity) }],
    ['processing_time_ms', { processing_time_ms: -1 }],
    ['created_at', { created_at: arrived + 25 * 3600_000 }],
    ['created_at', { created_at: Date.UTC(1969, 0, 1) }],
    ['created_at', { created_at: Date.UTC(2190, 0, 1) }],
    ['created_at', { created_at: 9e17 }],
  ];
  for (const [field, change] of bad) {
    it(`names ${field} for ${JSON.stringify(change).slice(0, 60)}`, () => {
      assert.deepEqual(
        conversationProblems(conversation(change), arrived).map((problem) => problem.field),
        [field],
      );
    });
  }
});

describe('reviewProblems', () => {
  const bad: readonly (readonly [string, Partial<ReviewSubmitted>])[] = [
    ['corrected_intent', { verdict: 'correct', corrected_intent: null }],
    ['corrected_module', { verdict: 'correct', corrected_module: null }],
    ['corrected_intent', { verdict: 'approve', corrected_intent: 'x' }],
    ['reviewer', { reviewer: '' }],
    ['reviewed_at', { reviewed_at: 0 }],
  ];
  for (const [field, change] of bad) {
    it(`names ${field} for ${JSON.stringify(change)}`, () => {
      assert.deepEqual(
        reviewProblems(review(change), arrived).map((problem) => problem.field),
        [field],
      );
    });
  }
  it('accepts every verdict', () => {
    for (const verdict of ['approve', 'correct', 'reject', 'skip'] as const)
      assert.deepEqual(reviewProblems(review({ verdict }), arrived), []);
  });
});
