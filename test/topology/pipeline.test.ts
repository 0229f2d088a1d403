import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { processors } from '../../pipeline.ts';
import type { ConversationCaptured } from '../../schemas/types.ts';
import { graphProblems } from '../../stream/graph.ts';
import { partitionOf } from '../../stream/partition.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { conversation, review } from '../fixtures.ts';
import { standingSamples, start } from './driver.ts';
import type { Driver } from './driver.ts';

function capture(driver: Driver, fields: Partial<ConversationCaptured>): void {
  const sent = conversation(fields);
  driver.send(topics.conversations, sent.conversation_id, sent);
}

function approved(driver: Driver): number {
  return [...driver.table(topics.approvedSampleCounts).values()].reduce((sum, count) => sum + count.approved, 0);
}

/** Traffic in which every route, verdict and kind of duplicate occurs, as one function per conversation. */
function traffic(): ((driver: Driver) => void)[] {
  return Array.from({ length: 300 }, (_, i) => (driver: Driver) => {
    const conversation_id = `c-${String(i)}`;
    const fields = {
      conversation_id,
      nlu_confidence: (i % 21) / 20,
      nlu_module: i % 2 === 0 ? 'food' : 'ride',
      user_message: `message ${String(i % 50)}`,
    };
    const answer = review({
      conversation_id,
      verdict: (['approve', 'correct', 'reject', 'skip'] as const)[i % 4] ?? 'skip',
    });
    if (i % 5 === 0) driver.send(topics.reviews, conversation_id, answer);
    capture(driver, fields);
    if (i % 7 === 0) capture(driver, fields);
    if (i % 11 === 0) capture(driver, { ...fields, user_message: 'other content' });
    if (i % 3 === 0) driver.send(topics.reviews, conversation_id, answer);
  });
}

function tables(driver: Driver): unknown {
  return [driver.table(topics.routingDecisions), driver.table(topics.reviewQueue), standingSamples(driver)].map(
    (table: ReadonlyMap<string, unknown>) => [...table].sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

describe('pipeline', () => {
  it('is a valid graph', () => assert.deepEqual(graphProblems(processors, Object.values(topics)), []));

  it('turns a trusted conversation into a sample and a count', () => {
    const driver = start();
    capture(driver, { nlu_confidence: 0.9 });
    driver.drain();
    assert.equal(driver.table(topics.routingDecisions).get('conversation-1')?.route, 'auto_approved');
    assert.equal(driver.records(topics.trainingSamples)[0]?.value?.approved?.intent, 'track_order');
    assert.equal(approved(driver), 1);
  });

  it('queues a doubtful one until a person answers, then counts the corrected label', () => {
    const driver = start();
    capture(driver, { nlu_confidence: 0.75 });
    driver.drain();
    assert.equal(driver.table(topics.reviewQueue).size, 1);
    assert.equal(approved(driver), 0);
    driver.send(topics.reviews, 'conversation-1', review({ verdict: 'correct' }));
    driver.drain();
    assert.equal(driver.table(topics.reviewQueue).size, 0);
    const count = [...driver.table(topics.approvedSampleCounts).values()].find((c) => c.approved > 0);
    assert.deepEqual(count?.by_intent, { 'food/cancel_order': 1 });
  });

  it('counts names such as toString like any other name', () => {
    const driver = start();
    const names = ['toString', 'valueOf', 'hasOwnProperty', 'isPrototypeOf', 'toLocaleString'];
    for (const name of names) {
      const language = name.length <= 8 ? name : 'en';
      for (const conversation_id of [`${name}-1`, `${name}-2`])
        capture(driver, { conversation_id, nlu_module: name, nlu_intent: name, language });
    }
    capture(driver, { nlu_confidence: 0.75 });
    driver.send(topics.reviews, 'conversation-1', review({ verdict: 'correct', corrected_module: 'toString' }));
    driver.drain();
    const counts = [...driver.table(topics.approvedSampleCounts).values()];
    const counted = (by: 'by_module' | 'by_language', name: string) =>
      counts.reduce((sum, { [by]: { [name]: samples } }) => sum + (typeof samples === 'number' ? samples : 0), 0);
    assert.equal(approved(driver), 11);
    assert.deepEqual(
      names.map((name) => counted('by_module', name)),
      [3, 2, 2, 2, 2],
    );
    assert.deepEqual(
      ['tostring', 'valueof', 'en', 'hi'].map((name) => counted('by_language', name)),
      [2, 2, 6, 1],
    );
  });

  it('records with each sample the probability that a person was asked', () => {
    const driver = start();
    const ids = Array.from({ length: 80 }, (_, i) => `c-${String(i)}`);
    ids.forEach((conversation_id, i) => capture(driver, { conversation_id, nlu_confidence: i < 10 ? 0.5 : 0.9 }));
    driver.drain();
    for (const conversation_id of ids) driver.send(topics.reviews, conversation_id, review({ conversation_id }));
    driver.drain();
    const [decisions, samples] = [driver.table(topics.routingDecisions), standingSamples(driver)];
    const chances = ids.map((id) => {
      const [decision, sample] = [decisions.get(id), samples.get(id)];
      assert.equal(sample?.source, 'human');
      return `${decision?.route ?? ''} ${String(decision?.audit)} ${String(sample.review_propensity)}`;
    });
    const kinds = ['auto_approved false null', 'auto_approved true 0.05', 'priority_review false 1'];
    assert.deepEqual([...new Set(chances)].sort(), kinds);
  });

  it('withdraws an auto-approved sample that a person rejects', () => {
    const driver = start(1);
    capture(driver, { nlu_confidence: 0.9 });
    driver.drain();
    driver.send(topics.reviews, 'conversation-1', review({ verdict: 'reject' }));
    driver.drain();
    assert.equal(approved(driver), 0);
    assert.equal(driver.records(topics.trainingSamples).at(-1)?.value?.withdrawn?.reason, 'rejected');
  });

  it('puts a review that arrives first after its conversation', () => {
    const driver = start();
    driver.send(topics.reviews, 'conversation-1', review());
    driver.drain();
    assert.equal(driver.records(topics.conversationEvents).length, 0);
    capture(driver, { nlu_confidence: 0.75 });
    driver.drain();
    assert.deepEqual(
      driver.records(topics.conversationEvents).map(({ value }) => (value?.captured ? 'captured' : 'reviewed')),
      ['captured', 'reviewed'],
    );
    assert.equal(driver.table(topics.routingDecisions).get('conversation-1')?.review_status, 'approved');
  });

  it('drops a redelivery, and refuses other content under the same id', () => {
    const driver = start();
    capture(driver, {});
    capture(driver, {});
    capture(driver, { user_message: 'something else' });
    driver.drain();
    assert.equal(driver.records(topics.conversationEvents).length, 1);
    assert.deepEqual(
      driver.records(topics.deadLetters).map(({ value }) => value?.code),
      ['conflicting-duplicate'],
    );
  });

  it('moves a record from the wrong partition to its own', () => {
    const driver = start();
    const own = partitionOf('conversation-1', PARTITIONS);
    driver.send(topics.conversations, '', conversation(), { partition: (own + 1) % PARTITIONS });
    driver.send(topics.conversations, 'conversation-1', conversation());
    driver.drain();
    assert.deepEqual(
      driver.records(topics.conversationEvents).map(({ key, partition }) => ({ key, partition })),
      [{ key: 'conversation-1', partition: own }],
    );
  });

  it('masks personal data before it enters the log', () => {
    const driver = start();
    capture(driver, { user_message: 'call me on 9876500001', entities: [] });
    driver.drain();
    assert.equal(driver.records(topics.conversationEvents)[0]?.value?.captured?.user_message, 'call me on <phone>');
  });

  it('writes bad bytes to the dead letters unchanged, with their reason and place, and goes on', () => {
    const driver = start();
    const bytes = Buffer.from('{"not": "avro"}');
    driver.sendBytes(topics.conversations, 'k', bytes);
    driver.sendBytes(topics.conversations, 'k', null);
    capture(driver, { nlu_confidence: 1.7 });
    capture(driver, { created_at: Date.UTC(2190, 0, 1) });
    capture(driver, { conversation_id: 'good' });
    driver.drain();
    const letters = driver.records(topics.deadLetters).map(({ value }) => value);
    assert.deepEqual(letters.map((letter) => letter?.code).sort(), [
      'bad-frame',
      'empty-record',
      'invalid-value',
      'invalid-value',
    ]);
    assert.deepEqual(letters.find((letter) => letter?.code === 'bad-frame')?.value, bytes);
    assert.equal(driver.records(topics.conversationEvents).length, 1);
  });

  it('gives the same tables from the same input, whatever the batch size', () => {
    const [small, large] = [1, 1000].map((batchSize) => {
      const driver = start(batchSize);
      for (const act of traffic()) act(driver);
      driver.drain();
      return driver;
    });
    assert.deepEqual(tables(small as Driver), tables(large as Driver));
    assert.equal(approved(small as Driver), standingSamples(small as Driver).size);
    assert.equal(approved(large as Driver), standingSamples(large as Driver).size);
  });

  it('gives the same tables from a shuffled order of conversations', () => {
    const [ordered, shuffled] = [
      traffic(),
      traffic()
        .map((act, i) => ({ act, at: (i * 7919) % 300 }))
        .sort((a, b) => a.at - b.at)
        .map(({ act }) => act),
    ].map((acts) => {
      const driver = start(17);
      for (const act of acts) act(driver);
      driver.drain();
      return driver;
    });
    assert.equal((ordered as Driver).table(topics.routingDecisions).size, 300);
    assert.deepEqual(tables(ordered as Driver), tables(shuffled as Driver));
  });
});
