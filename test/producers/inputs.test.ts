import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InputError, parseEvent, parseEventText, parseReview } from '../../producers/inputs.ts';
import { avroType } from '../../runtime/codec.ts';
import type { ConversationCaptured } from '../../schemas/types.ts';

const NOW = Date.UTC(2026, 10, 1);
const conversation = {
  conversation_id: 'c-1',
  user_message: 'मेरा ऑर्डर कहाँ है?',
  language: 'hi',
  nlu_intent: 'track_order',
  nlu_module: 'food',
  nlu_confidence: 0.93,
  nlu_provider: 'indicbert',
  created_at: '2026-10-05T15:00:00.123+05:30',
};
const review = { conversation_id: 'c-1', verdict: 'approve', reviewer: 'asha', reviewed_at: '2026-10-05T12:00:00Z' };

function conversationFrom(json: unknown): ConversationCaptured {
  const event = parseEvent('conversation', json, NOW);
  assert.ok(event.kind === 'conversation');
  return event.record;
}

function problemsOf(parse: () => unknown): InputError['problems'] {
  try {
    parse();
  } catch (error) {
    assert.ok(error instanceof InputError, String(error));
    return error.problems;
  }
  assert.fail('nothing was refused');
}

describe('a conversation from JSON', () => {
  it('gets null for absent fields, and the time in milliseconds', () => {
    assert.deepEqual(conversationFrom(conversation), {
      ...conversation,
      user_id: null,
      session_id: null,
      model_version: null,
      entities: [],
      routing_target: null,
      response_success: null,
      processing_time_ms: null,
      created_at: Date.UTC(2026, 9, 5, 9, 30, 0, 123),
      runners_up: [],
    });
  });

  it('may have its time in lower case, as RFC 3339 allows', () => {
    const created_at = '2026-10-05t09:30:00z';
    assert.equal(conversationFrom({ ...conversation, created_at }).created_at, Date.UTC(2026, 9, 5, 9, 30));
  });

  it('may have null where a field may be absent', () => {
    const nulls = { user_id: null, entities: null, routing_target: null, nlu_confidence: null };
    assert.equal(conversationFrom({ ...conversation, ...nulls }).nlu_confidence, null);
  });

  it('may have its entities as an object', () => {
    const { entities } = conversationFrom({ ...conversation, entities: { dish: 'dosa', city: 'Pune' } });
    assert.deepEqual(entities, [
      { name: 'dish', value: 'dosa', start: null, end: null },
      { name: 'city', value: 'Pune', start: null, end: null },
    ]);
  });

  it('keeps a text in which an emoji was cut in two, with U+FFFD in its place', () => {
    const cut = 'hi 😀'.slice(0, 4);
    const span = { name: 'mood', start: 3, end: 4 };
    const sent = { ...conversation, user_message: cut, entities: [{ ...span, value: cut.slice(3) }] };
    const { user_message, entities } = conversationFrom(sent);
    assert.deepEqual([user_message, entities], ['hi \ufffd', [{ ...span, value: '\ufffd' }]]);
  });

  it('has no confidence when the model computed NaN', () => {
    assert.equal(conversationFrom({ ...conversation, nlu_confidence: NaN }).nlu_confidence, null);
  });

  const bad: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
    ['conversation_id', { conversation_id: undefined }, /^It is missing\.$/],
    ['conversation_id', { conversation_id: 7 }, /^7 is not a string\.$/],
    ['conversation_id', { conversation_id: 'x'.repeat(201) }, /id of 1 to 200/],
    ['conversation_id', { conversation_id: 'c-\ud83d' }, /^"c-\\ud83d" is not an id/],
    ['user_id', { user_id: '\ude00' }, /printable/],
    ['session_id', { session_id: '\ude00' }, /printable/],
    ['language', { language: 'hi-\ud83d' }, /BCP 47/],
    ['nlu_intent', { nlu_intent: 'a\ud83d' }, /not a name/],
    ['model_version', { model_version: 'a\ud83d' }, /not a name/],
    ['entities[0].name', { entities: { 'a\ud83d': 'x' } }, /not a name/],
    ['user_message', { user_message: null }, /^null is not a string\.$/],
    ['user_message', { user_message: ' \n' }, /empty/],
    ['user_message', { user_message: 'x'.repeat(32_769) }, /32769/],
    ['language', { language: 'not a tag' }, /BCP 47/],
    ['nlu_intent', { nlu_intent: '__proto__' }, /not a name/],
    ['nlu_confidence', { nlu_confidence: 'NaN' }, /^"NaN" is not a number from 0 to 1, or null\.$/],
    ['nlu_confidence', { nlu_confidence: '0.9' }, /^"0.9" is not a number/],
    ['nlu_confidence', { nlu_confidence: 1.01 }, /between 0 and 1/],
    ['nlu_confidence', { nlu_confidence: Infinity }, /Infinity is not a number/],
    ['nlu_provider', { nlu_provider: 'gpt' }, /^"gpt" is not one of indicbert, llm, other\.$/],
    ['routing_target', { routing_target: 'OpenSearch' }, /one of opensearch, php, other/],
    ['response_success', { response_success: 'yes' }, /true or false/],
    ['processing_time_ms', { processing_time_ms: 1.5 }, /whole number/],
    ['processing_time_ms', { processing_time_ms: 2 ** 31 }, /32 bits/],
    ['processing_time_ms', { processing_time_ms: -1 }, /negative/],
    ['created_at', { created_at: undefined }, /missing/],
    ['created_at', { created_at: 'yesterday' }, /RFC 3339/],
    ['created_at', { created_at: '2026-02-30T00:00:00Z' }, /RFC 3339/],
    ['created_at', { created_at: '2026-10-05T09:30:00' }, /RFC 3339/],
    ['created_at', { created_at: 1_791_000_000 }, /RFC 3339/],
    ['created_at', { created_at: '1999-12-31T23:59:59Z' }, /2000/],
    ['created_at', { created_at: '2026-11-02T00:00:01Z' }, /after its arrival/],
    ['entities', { entities: 'dosa' }, /array or an object/],
    ['entities[0].value', { entities: { dish: 5 } }, /^5 is not a string\.$/],
    ['entities[0].name', { entities: JSON.parse('{"__proto__":"x"}') }, /"__proto__" is not a name/],
    ['entities[0].colour', { entities: [{ name: 'a', value: 'b', colour: 'c' }] }, /not a field of entities\[0\]/],
    ['entities[0].start', { entities: [{ name: 'a', value: 'b', start: 3, end: 900 }] }, /span/],
    ['confidence', { confidence: 0.9 }, /not a field of a conversation; the fields are conversation_id, /],
  ];
  for (const [field, change, message] of bad) {
    it(`is refused for ${JSON.stringify(change).slice(0, 60)}`, () => {
      const [problem, ...others] = problemsOf(() => conversationFrom({ ...conversation, ...change }));
      assert.deepEqual(others, []);
      assert.equal(problem?.field, field);
      assert.match(problem.message, message);
    });
  }

  it('is refused for a field named __proto__', () => {
    const line = `${JSON.stringify(conversation).slice(0, -1)},"__proto__":{"admin":true}}`;
    const [problem] = problemsOf(() => parseEventText('conversation', line, NOW));
    assert.equal(problem?.field, '__proto__');
  });

  it('names all problems at once', () => {
    const fields = problemsOf(() => conversationFrom({})).map(({ field }) => field);
    assert.deepEqual(
      fields.toSorted(),
      Object.keys(conversation)
        .filter((f) => f !== 'nlu_confidence')
        .toSorted(),
    );
  });

  for (const json of ['[]', 'null', '"text"', '7', `${'['.repeat(100_000)}${']'.repeat(100_000)}`]) {
    it(`is not ${json.slice(0, 10)}`, () => {
      assert.match(problemsOf(() => parseEventText('conversation', json, NOW))[0]?.message ?? '', /not a JSON object/);
    });
  }

  it('fits into a Kafka record even when it is as large as the rules allow', () => {
    const largest = conversationFrom({
      ...conversation,
      user_message: '语'.repeat(32_768),
      entities: Array.from({ length: 200 }, () => ({ name: '语'.repeat(100), value: '语'.repeat(1000) })),
    });
    assert.ok(avroType('ConversationCaptured').toBuffer(largest).length < 900_000);
  });
});

describe('a review from JSON', () => {
  it('gets null for absent fields', () => {
    assert.deepEqual(parseReview(review, NOW), {
      ...review,
      corrected_intent: null,
      corrected_module: null,
      reviewed_at: Date.UTC(2026, 9, 5, 12),
      review_id: null,
      source: null,
      time_taken_ms: null,
      shown: null,
      withdraws: null,
    });
  });

  it('takes the further fields that an inbox sends', () => {
    const shown = { intent: 'track_order', module: 'food', confidence: 0.7, model_version: 'router-v1.0.0' };
    const told = { review_id: 'annotation/7', source: 'label-studio', time_taken_ms: 4200, shown, withdraws: 'a/6' };
    assert.deepEqual(parseReview({ ...review, ...told }, NOW), {
      ...parseReview(review, NOW),
      ...told,
      source: 'label_studio',
    });
  });

  const bad: readonly (readonly [readonly string[], Record<string, unknown>])[] = [
    [['verdict'], { verdict: 'maybe' }],
    [['corrected_intent', 'corrected_module'], { verdict: 'correct' }],
    [['corrected_intent'], { corrected_intent: 'cancel_order' }],
    [['reviewer'], { reviewer: '' }],
    [['reviewed_at'], { reviewed_at: '2031-01-01T00:00:00Z' }],
    [['note'], { note: 'x' }],
    [['source'], { source: 'phone' }],
    [['time_taken_ms'], { time_taken_ms: -1 }],
    [['shown.module'], { shown: { intent: 'track_order' } }],
    [['shown.confidence'], { shown: { intent: 'track_order', module: 'food', confidence: 7 } }],
    [['withdraws'], { review_id: 'a', withdraws: 'a' }],
    [['reviewer', 'review_id', 'withdraws'], { reviewer: 'a\ud83d', review_id: 'b\ud83d', withdraws: 'c\ud83d' }],
    [['shown.intent'], { shown: { intent: 'a\ud83d', module: 'food' } }],
  ];
  for (const [fields, change] of bad) {
    it(`is refused for ${JSON.stringify(change)}`, () => {
      const problems = problemsOf(() => parseReview({ ...review, ...change }, NOW));
      assert.deepEqual(
        problems.map(({ field }) => field),
        fields,
      );
    });
  }
});
