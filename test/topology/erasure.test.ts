import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ConversationCaptured } from '../../schemas/types.ts';
import type { DrivenRecord } from '../../stream/test-driver.ts';
import type { Topic } from '../../stream/topic.ts';
import { topics } from '../../topology.ts';
import { conversation, erasure, review } from '../fixtures.ts';
import { standingSamples, start } from './driver.ts';
import type { Driver } from './driver.ts';

const ID = 'conversation-1';
const TEXT = 'where is my biryani';

function capture(driver: Driver, fields: Partial<ConversationCaptured>): void {
  const sent = conversation({ user_message: TEXT, entities: [], ...fields });
  driver.send(topics.conversations, sent.conversation_id, sent);
  driver.drain();
}

function erase(driver: Driver, conversation_id = ID): void {
  driver.send(topics.erasures, conversation_id, erasure({ conversation_id }));
  driver.drain();
}

function approvedCount(driver: Driver): number {
  return [...driver.table(topics.approvedSampleCounts).values()].reduce((sum, { approved }) => sum + approved, 0);
}

/** What compaction leaves of a topic: the last record of each key. */
function latest<V>(records: readonly DrivenRecord<V>[]): DrivenRecord<V>[] {
  const last = new Map(records.map((record, i) => [record.key, i]));
  return records.filter(({ key }, i) => last.get(key) === i);
}

function letters(driver: Driver) {
  return driver.records(topics.deadLetters).map(({ value }) => value);
}

/** What the tables of decisions, queue and samples hold for `id`. */
function remembered(driver: Driver, id: string) {
  return [topics.routingDecisions, topics.reviewQueue, topics.currentSamples].map((topic: Topic) =>
    driver.table(topic).get(id),
  );
}

describe('an erasure', () => {
  it('removes a trusted conversation from every table and its sample from the count', () => {
    const driver = start(1);
    capture(driver, { nlu_confidence: 0.9 });
    capture(driver, { conversation_id: 'another', nlu_confidence: 0.9 });
    assert.equal(approvedCount(driver), 2);
    erase(driver);
    assert.deepEqual(remembered(driver, ID), [undefined, undefined, undefined]);
    assert.equal(approvedCount(driver), 1);
    const { withdrawn } =
      driver.records(topics.trainingSamples).findLast(({ value }) => value?.conversation_id === ID)?.value ?? {};
    assert.deepEqual([withdrawn?.reason, withdrawn?.withdrawn_at], ['erased', erasure().requested_at]);
    assert.ok(driver.table(topics.currentSamples).has('another'));
  });

  it('reaches earlier data sets too when the sample was already withdrawn', () => {
    const driver = start(1);
    capture(driver, { nlu_confidence: 0.9 });
    driver.send(topics.reviews, ID, review({ verdict: 'reject' }));
    driver.drain();
    erase(driver);
    assert.deepEqual(
      driver.records(topics.trainingSamples).map(({ value }) => [value?.withdrawn?.reason, value?.erased_at]),
      [
        [undefined, null],
        ['rejected', null],
        [undefined, erasure().requested_at],
        [undefined, erasure().requested_at],
      ],
    );
    assert.equal(approvedCount(driver), 0);
  });

  it('removes a conversation that waits for a person, and one that a person has answered', () => {
    const driver = start(1);
    capture(driver, { nlu_confidence: 0.75 });
    capture(driver, { conversation_id: 'answered', nlu_confidence: 0.75 });
    driver.send(topics.reviews, 'answered', review({ conversation_id: 'answered', verdict: 'correct' }));
    driver.drain();
    assert.deepEqual([driver.table(topics.reviewQueue).size, approvedCount(driver)], [1, 1]);
    for (const id of [ID, 'answered']) erase(driver, id);
    for (const id of [ID, 'answered']) assert.deepEqual(remembered(driver, id), [undefined, undefined, undefined]);
    assert.equal(approvedCount(driver), 0);
  });

  it('leaves only its time in the table of intake', () => {
    const driver = start(1);
    capture(driver, { nlu_confidence: 0.75 });
    driver.send(topics.reviews, ID, review());
    erase(driver);
    const nothing = { captured_digest: null, review_digests: [], parked_reviews: [], policy: null };
    const entry = { ...driver.table(topics.intakeLedger).get(ID) };
    assert.deepEqual(entry, { ...nothing, erased_at: erasure().requested_at });
  });

  it('holds: later records of the conversation become dead letters with the time of the erasure and without content', () => {
    const driver = start(1);
    capture(driver, { nlu_confidence: 0.9 });
    erase(driver);
    capture(driver, { nlu_confidence: 0.9 });
    capture(driver, { nlu_confidence: 17 }); // also invalid: the check for erasure comes before any other
    driver.send(topics.reviews, ID, review());
    driver.drain();
    assert.deepEqual(
      letters(driver).map((letter) => [letter?.code, letter?.topic, letter?.key?.toString(), letter?.value]),
      [
        ['erased', topics.conversations.name, ID, null],
        ['erased', topics.conversations.name, ID, null],
        ['erased', topics.reviews.name, ID, null],
      ],
    );
    assert.match(letters(driver)[0]?.message ?? '', /conversation-1 was erased at 2026-10-05T13:00:00.000Z/);
    assert.deepEqual(remembered(driver, ID), [undefined, undefined, undefined]);
    assert.equal(driver.records(topics.conversationEvents).length, 2);
  });

  it('happens once when sent twice; for an unknown conversation it is refused and can be sent again after its arrival', () => {
    const driver = start(1);
    erase(driver);
    assert.deepEqual(
      letters(driver).map((letter) => letter?.code),
      ['unknown-conversation'],
    );
    capture(driver, { nlu_confidence: 0.9 });
    erase(driver);
    erase(driver);
    assert.equal(driver.records(topics.conversationEvents).filter(({ value }) => value?.erased).length, 1);
    assert.equal(approvedCount(driver), 0);
    assert.equal(letters(driver).length, 1);
  });

  it('is refused without a reason', () => {
    const driver = start(1);
    capture(driver, { nlu_confidence: 0.9 });
    driver.send(topics.erasures, ID, erasure({ reason: ' ' }));
    driver.drain();
    assert.equal(letters(driver)[0]?.code, 'invalid-value');
    assert.equal(approvedCount(driver), 1);
  });

  it('overwrites every event of its conversation and of no other, so that compaction removes their content', () => {
    const driver = start(1);
    capture(driver, { nlu_confidence: 0.9 });
    capture(driver, { conversation_id: 'another', nlu_confidence: 0.9 });
    for (const [review_id, verdict] of [
      [null, 'approve'],
      ['r-2', 'correct'],
      ['r-3', 'reject'],
    ] as const)
      for (const conversation_id of [ID, 'another'])
        driver.send(topics.reviews, conversation_id, review({ conversation_id, review_id, verdict }));
    driver.drain();
    /** What compaction leaves of `id` in the two topics that keep everything until an erasure. */
    const kept = (id: string) => {
      const of = <V extends { readonly conversation_id: string }>(topic: Topic<V>) =>
        latest(driver.records(topic)).flatMap(({ value }) => (value?.conversation_id === id ? [value] : []));
      return { events: of(topics.conversationEvents), samples: of(topics.trainingSamples) };
    };
    const other = kept('another');
    assert.deepEqual([other.events.length, other.samples.length], [4, 6]);
    erase(driver);
    const { events, samples } = kept(ID);
    assert.deepEqual(
      events.map(({ captured, reviewed, erased }) => [captured, reviewed, erased?.reason]),
      Array(4).fill([null, null, erasure().reason]),
    );
    assert.deepEqual(
      samples.map(({ approved, erased_at }) => [approved, erased_at]),
      Array(6).fill([null, erasure().requested_at]),
    );
    assert.deepEqual(kept('another'), other);
  });

  it('survives a replay: the canonical log alone, compacted or not, gives the same tables at any batch size', () => {
    const driver = start(1);
    for (let i = 0; i < 60; i++) {
      const conversation_id = `c-${String(i)}`;
      capture(driver, { conversation_id, user_message: `message ${String(i)}`, nlu_confidence: (i % 21) / 20 });
      if (i % 4 === 0) driver.send(topics.reviews, conversation_id, review({ conversation_id }));
      driver.drain();
      if (i % 3 === 0) erase(driver, conversation_id);
    }
    const tables = (of: Driver) => [
      approvedCount(of),
      ...[of.table(topics.routingDecisions), of.table(topics.reviewQueue), standingSamples(of)].map(
        (table: ReadonlyMap<string, unknown>) => [...table].sort(([a], [b]) => (a < b ? -1 : 1)),
      ),
    ];
    assert.equal(driver.table(topics.routingDecisions).size, 40);
    const log = driver.records(topics.conversationEvents);
    const compacted = latest(log);
    assert.equal(log.length - compacted.length, 20 + 5); // erased conversations, and reviews of them
    for (const [batchSize, records] of [
      [1, log],
      [1000, log],
      [1, compacted],
      [1000, compacted],
    ] as const) {
      const replayed = start(batchSize);
      for (const { key, partition, value } of records)
        if (value) replayed.send(topics.conversationEvents, key, value, { partition });
      replayed.drain();
      assert.deepEqual(letters(replayed), []);
      assert.deepEqual(tables(replayed), tables(driver));
    }
  });
});
