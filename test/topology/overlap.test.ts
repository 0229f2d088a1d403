import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { topics } from '../../topology.ts';
import { conversation, review } from '../fixtures.ts';
import { start } from './driver.ts';
import type { Driver } from './driver.ts';

/** A pipeline with 600 doubtful conversations, and the id of one that two people answer. */
function withOverlap(): { readonly driver: Driver; readonly id: string; readonly share: number } {
  const driver = start();
  const ids = Array.from({ length: 600 }, (_, i) => `c-${String(i)}`);
  for (const id of ids)
    driver.send(topics.conversations, id, conversation({ conversation_id: id, nlu_confidence: 0.75 }));
  driver.drain();
  const chosen = [...driver.table(topics.routingDecisions).values()].filter(({ overlap }) => overlap);
  return { driver, id: chosen[0]?.conversation_id ?? '', share: chosen.length / ids.length };
}

function answer(driver: Driver, id: string, reviewer: string, fields: Parameters<typeof review>[0] = {}): void {
  driver.send(topics.reviews, id, review({ conversation_id: id, reviewer, review_id: `by ${reviewer}`, ...fields }));
  driver.drain();
}

describe('an item for two reviewers', () => {
  it('is about one in twenty', () => {
    const { share } = withOverlap();
    assert.ok(share > 0.02 && share < 0.09, String(share));
  });

  it('counts with the first answer and is finished by the answer of another person', () => {
    const { driver, id } = withOverlap();
    answer(driver, id, 'asha');
    assert.equal(driver.table(topics.currentSamples).get(id)?.source, 'human');
    assert.deepEqual(driver.table(topics.reviewQueue).get(id)?.answered_by, ['asha']);
    answer(driver, id, 'asha', { verdict: 'correct', review_id: 'second thought' });
    assert.ok(driver.table(topics.reviewQueue).has(id));
    answer(driver, id, 'ravi', { verdict: 'correct' });
    assert.ok(!driver.table(topics.reviewQueue).has(id));
    assert.equal(driver.table(topics.currentSamples).get(id)?.intent, 'cancel_order');
  });

  it('waits again when one of the two answers is withdrawn', () => {
    const { driver, id } = withOverlap();
    answer(driver, id, 'asha');
    answer(driver, id, 'ravi');
    answer(driver, id, 'ravi', { verdict: 'skip', withdraws: 'by ravi', review_id: 'undo' });
    assert.deepEqual(driver.table(topics.reviewQueue).get(id)?.answered_by, ['asha']);
    assert.equal(driver.table(topics.currentSamples).get(id)?.reviewer, 'asha');
  });

  it('keeps a second answer to an item that is already finished', () => {
    const { driver } = withOverlap();
    const alone = [...driver.table(topics.routingDecisions).values()].find(({ overlap }) => !overlap);
    const id = alone?.conversation_id ?? '';
    answer(driver, id, 'asha');
    answer(driver, id, 'ravi', { verdict: 'correct' });
    const decision = driver.table(topics.routingDecisions).get(id);
    assert.deepEqual(
      decision?.answers.map(({ reviewer }) => reviewer),
      ['asha', 'ravi'],
    );
    assert.equal(driver.table(topics.currentSamples).get(id)?.intent, 'cancel_order');
  });
});
