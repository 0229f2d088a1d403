import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { textHash } from '../../policy/hash.ts';
import type { ReviewSubmitted } from '../../schemas/types.ts';
import { topics } from '../../topology.ts';
import { conversation, review } from '../fixtures.ts';
import { standingSamples, start } from './driver.ts';
import type { Driver } from './driver.ts';

const ID = 'conversation-1';
const MINUTE_MS = 60_000;
const NOON = Date.UTC(2026, 9, 5, 12, 0);

function captured(nlu_confidence: number): Driver {
  const driver = start(1);
  driver.send(topics.conversations, ID, conversation({ nlu_confidence }));
  driver.drain();
  return driver;
}

function answer(driver: Driver, fields: Partial<ReviewSubmitted>): void {
  driver.send(topics.reviews, ID, review(fields));
  driver.drain();
}

/** Sends an undo of the review `withdraws`, `minutes` after noon. */
function undo(driver: Driver, withdraws: string, minutes: number): void {
  const reviewed_at = NOON + minutes * MINUTE_MS;
  answer(driver, { verdict: 'skip', withdraws, review_id: `undo ${withdraws}`, reviewed_at });
}

function standing(driver: Driver) {
  const decision = driver.table(topics.routingDecisions).get(ID);
  const sample = standingSamples(driver).get(ID);
  return [decision?.review_status, sample ? `${sample.source} ${sample.intent}` : undefined];
}

function approvedCount(driver: Driver): number {
  return [...driver.table(topics.approvedSampleCounts).values()].reduce((sum, { approved }) => sum + approved, 0);
}

function reviewedEvents(driver: Driver) {
  return driver.records(topics.conversationEvents).flatMap(({ value }) => value?.reviewed ?? []);
}

function deadCodes(driver: Driver) {
  return driver.records(topics.deadLetters).map(({ value }) => value?.code);
}

describe('the identity of a review', () => {
  it('is a hash of the fields that are present, so that an old review sent again counts once', () => {
    const driver = captured(0.5);
    // What intake computed before a review had an id, a source, a duration, a prediction and a withdrawal.
    const { review_id, source, time_taken_ms, shown, withdraws, ...old } = review();
    assert.deepEqual([review_id, source, time_taken_ms, shown, withdraws], [null, null, null, null, null]);
    answer(driver, {});
    answer(driver, {});
    assert.deepEqual(
      reviewedEvents(driver).map((event) => event.review_id),
      [textHash(JSON.stringify(old))],
    );
    assert.deepEqual(driver.table(topics.intakeLedger).get(ID)?.review_digests, [textHash(JSON.stringify(old))]);
  });

  it('is its id where it has one: a repetition is dropped, and other content under the same id is refused', () => {
    const driver = captured(0.5);
    answer(driver, { review_id: 'a', time_taken_ms: 900 });
    answer(driver, { review_id: 'a', time_taken_ms: 900 });
    answer(driver, { review_id: 'a', verdict: 'reject' });
    answer(driver, { review_id: 'b', time_taken_ms: 900 });
    assert.deepEqual(
      reviewedEvents(driver).map((event) => event.review_id),
      ['a', 'b'],
    );
    assert.deepEqual(deadCodes(driver), ['conflicting-duplicate']);
    assert.deepEqual(standing(driver), ['approved', 'human track_order']);
  });

  it('is remembered for each of the 64 reviews that a conversation can have: repetitions change nothing, and more are refused', () => {
    const driver = captured(0.5);
    const send = () => {
      for (let i = 0; i < 65; i++)
        driver.send(topics.reviews, ID, review({ review_id: i % 2 ? `r-${String(i)}` : null, reviewed_at: NOON + i }));
      driver.drain();
    };
    send();
    const before = [reviewedEvents(driver), driver.table(topics.routingDecisions)];
    assert.equal(reviewedEvents(driver).length, 64);
    assert.deepEqual(deadCodes(driver), ['too-many-reviews']);
    send();
    assert.deepEqual([reviewedEvents(driver), driver.table(topics.routingDecisions)], before);
    assert.deepEqual(deadCodes(driver), ['too-many-reviews', 'too-many-reviews']);
  });

  it('is also remembered for a review that waits for its conversation', () => {
    const driver = start(1);
    answer(driver, { review_id: 'a' });
    answer(driver, { review_id: 'a' });
    driver.send(topics.conversations, ID, conversation({ nlu_confidence: 0.5 }));
    driver.drain();
    assert.equal(reviewedEvents(driver).length, 1);
  });
});

describe('an undo', () => {
  it('of the only answer puts the conversation back into the queue and withdraws its sample, with time and reason', () => {
    const driver = captured(0.5);
    answer(driver, { review_id: 'a', verdict: 'correct' });
    assert.deepEqual([...standing(driver), approvedCount(driver)], ['approved', 'human cancel_order', 1]);
    undo(driver, 'a', 5);
    assert.deepEqual([...standing(driver), approvedCount(driver)], ['needs_review', undefined, 0]);
    assert.equal(driver.table(topics.reviewQueue).size, 1);
    const { reason, withdrawn_at, intent } = driver.records(topics.trainingSamples).at(-1)?.value?.withdrawn ?? {};
    assert.deepEqual([reason, withdrawn_at, intent], ['undone', NOON + 5 * MINUTE_MS, 'cancel_order']);
  });

  it('of a correction restores the answer before it', () => {
    const driver = captured(0.5);
    answer(driver, { review_id: 'a' });
    answer(driver, { review_id: 'b', verdict: 'correct', reviewer: 'ravi', reviewed_at: NOON + MINUTE_MS });
    assert.deepEqual(standing(driver), ['approved', 'human cancel_order']);
    undo(driver, 'b', 2);
    assert.deepEqual([...standing(driver), approvedCount(driver)], ['approved', 'human track_order', 1]);
    undo(driver, 'a', 3);
    assert.deepEqual([...standing(driver), approvedCount(driver)], ['needs_review', undefined, 0]);
  });

  it('of a rejection restores an auto-approved sample', () => {
    const driver = captured(0.93);
    answer(driver, { review_id: 'a', verdict: 'reject', reviewed_at: NOON + MINUTE_MS });
    const rejection = driver.records(topics.trainingSamples).at(-1)?.value?.withdrawn;
    assert.deepEqual([rejection?.reason, rejection?.withdrawn_at], ['rejected', NOON + MINUTE_MS]);
    assert.equal(approvedCount(driver), 0);
    undo(driver, 'a', 2);
    assert.deepEqual([...standing(driver), approvedCount(driver)], ['auto_approved', 'auto track_order', 1]);
  });

  it('that arrives before its answer still withdraws it', () => {
    const driver = captured(0.5);
    undo(driver, 'a', 2);
    answer(driver, { review_id: 'a' });
    assert.deepEqual(standing(driver), ['needs_review', undefined]);
  });

  it('may carry another answer', () => {
    const driver = captured(0.5);
    answer(driver, { review_id: 'a' });
    answer(driver, { review_id: 'b', verdict: 'correct', withdraws: 'a' });
    assert.deepEqual(standing(driver), ['approved', 'human cancel_order']);
    undo(driver, 'b', 2);
    assert.deepEqual(standing(driver), ['needs_review', undefined]);
  });

  it('of an answer that is unknown or already undone changes nothing', () => {
    const driver = captured(0.5);
    answer(driver, { review_id: 'a' });
    undo(driver, 'x', 1);
    assert.deepEqual(standing(driver), ['approved', 'human track_order']);
    undo(driver, 'a', 2);
    answer(driver, { verdict: 'skip', withdraws: 'a', review_id: 'again', reviewed_at: NOON + 9 * MINUTE_MS });
    assert.deepEqual(standing(driver), ['needs_review', undefined]);
    assert.equal(driver.table(topics.routingDecisions).get(ID)?.standing_since, NOON + 2 * MINUTE_MS);
  });

  it('reaches back as far as the answers that are kept, and no skip pushes an answer out', () => {
    const driver = captured(0.5);
    answer(driver, { review_id: 'first' });
    for (let i = 0; i < 20; i++) answer(driver, { review_id: `skip ${String(i)}`, verdict: 'skip' });
    assert.deepEqual(standing(driver), ['approved', 'human track_order']);
    assert.equal(driver.table(topics.routingDecisions).get(ID)?.answers.length, 8);
    undo(driver, 'first', 30);
    assert.deepEqual(standing(driver), ['skipped', undefined]);
  });
});
