import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultPolicy } from '../../policy/routing.ts';
import { policyKeys } from '../../producers/policies.ts';
import type { PolicyAdopted, RoutingPolicy } from '../../schemas/types.ts';
import { partitionOf } from '../../stream/partition.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { conversation } from '../fixtures.ts';
import { start } from './driver.ts';
import type { Driver } from './driver.ts';

const strict: RoutingPolicy = { ...defaultPolicy, version: 'routing-v2', thresholds: { trust: 0.95, doubt: 0.8 } };

function adopt(driver: Driver, policy: RoutingPolicy, fields: Partial<PolicyAdopted> = {}): void {
  for (const key of policyKeys(PARTITIONS)) {
    const adopted = { key, policy, adopted_by: 'asha', reason: 'test', adopted_at: Date.UTC(2026, 9, 6), ...fields };
    driver.send(topics.policies, key, adopted);
  }
  driver.drain();
}

/** Captures 24 conversations at a confidence of 0.9, which reach every partition; returns their policy versions and routes. */
function routes(driver: Driver, prefix: string): string[] {
  const ids = Array.from({ length: 24 }, (_, i) => `${prefix}-${String(i)}`);
  for (const id of ids)
    driver.send(topics.conversations, id, conversation({ conversation_id: id, nlu_confidence: 0.9 }));
  driver.drain();
  const decisions = driver.table(topics.routingDecisions);
  const found = ids.map((id) => decisions.get(id));
  return [...new Set(found.map((d) => `${d?.policy_version ?? ''} ${d?.route ?? ''}`))];
}

function codes(driver: Driver): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { value } of driver.records(topics.deadLetters))
    counts.set(value?.code ?? '', (counts.get(value?.code ?? '') ?? 0) + 1);
  return counts;
}

describe('a policy in the log', () => {
  it('has a key for each partition', () => {
    assert.deepEqual(
      policyKeys(PARTITIONS).map((key) => partitionOf(key, PARTITIONS)),
      Array.from({ length: PARTITIONS }, (_, i) => i),
    );
  });

  it('routes what comes after it, in every partition, and nothing that came before', () => {
    const driver = start();
    assert.deepEqual(routes(driver, 'before'), ['routing-v1 auto_approved']);
    adopt(driver, strict);
    assert.deepEqual(routes(driver, 'after'), ['routing-v2 needs_review']);
    assert.equal(driver.table(topics.routingDecisions).get('before-0')?.route, 'auto_approved');
  });

  it('is in the canonical log with each conversation, so that the log alone replays every decision', () => {
    const driver = start();
    routes(driver, 'before');
    adopt(driver, strict);
    routes(driver, 'after');
    const replayed = start();
    for (const { key, partition, value } of driver.records(topics.conversationEvents))
      if (value) replayed.send(topics.conversationEvents, key, value, { partition });
    replayed.drain();
    assert.deepEqual(replayed.table(topics.routingDecisions), driver.table(topics.routingDecisions));
  });

  it('is written once to adopted-policies when it is sent again', () => {
    const driver = start();
    adopt(driver, strict);
    adopt(driver, { ...strict, version: 'routing-v3', audit_share: 0.1 });
    adopt(driver, strict, { reason: 'again' });
    assert.deepEqual(
      driver.records(topics.adoptedPolicies).map(({ key, value }) => [key, value?.reason]),
      [
        ['routing-v2', 'test'],
        ['routing-v3', 'test'],
      ],
    );
    assert.deepEqual(routes(driver, 'after'), ['routing-v3 needs_review']);
    assert.equal(codes(driver).size, 0);
  });

  it('becomes a dead letter when it is invalid or its version has other rules, and the policy in force stays', () => {
    const driver = start();
    adopt(driver, strict);
    adopt(driver, { ...strict, version: 'routing-v3', thresholds: { trust: 0.5, doubt: 0.9 } });
    adopt(driver, { ...strict, audit_share: 0.5 });
    adopt(driver, { ...strict, version: defaultPolicy.version });
    assert.deepEqual(
      codes(driver),
      new Map([
        ['invalid-value', PARTITIONS],
        ['policy-version-used', 2 * PARTITIONS],
      ]),
    );
    const reasons = driver.records(topics.deadLetters).map(({ value }) => value?.message);
    assert.ok(reasons.includes('thresholds.doubt: 0.9 is above trust, which is 0.5.'));
    assert.deepEqual(routes(driver, 'after'), ['routing-v2 needs_review']);
  });

  it('applies to a language whatever the case of its tag, and the log has one spelling', () => {
    const driver = start();
    const thresholds = { trust: 0.92, doubt: 0.7 };
    const exception = (language: string) => ({ module: 'food', intent: null, language, thresholds });
    adopt(driver, { ...defaultPolicy, version: 'routing-v2', exceptions: ['TA', 'hi-latn'].map(exception) });
    adopt(driver, { ...defaultPolicy, version: 'routing-v2', exceptions: ['ta', 'hi-Latn'].map(exception) });
    const sent = ['ta', 'TA', 'HI-LATN', 'hi-Latn', 'HI'].map((language) =>
      conversation({ conversation_id: language, language, nlu_confidence: 0.9 }),
    );
    for (const one of [...sent, ...sent]) driver.send(topics.conversations, one.conversation_id, one);
    driver.drain();
    assert.deepEqual(
      sent.map(({ conversation_id }) => {
        const decision = driver.table(topics.routingDecisions).get(conversation_id);
        return [conversation_id, decision?.conversation.language, decision?.route];
      }),
      [
        ['ta', 'ta', 'needs_review'],
        ['TA', 'ta', 'needs_review'],
        ['HI-LATN', 'hi-Latn', 'needs_review'],
        ['hi-Latn', 'hi-Latn', 'needs_review'],
        ['HI', 'hi', 'auto_approved'],
      ],
    );
    assert.equal(codes(driver).size, 0);
    assert.equal(driver.records(topics.conversationEvents).length, sent.length);
    assert.deepEqual(
      driver
        .records(topics.adoptedPolicies)
        .map(({ value }) => value?.policy.exceptions.map(({ language: one }) => one)),
      [['ta', 'hi-Latn']],
    );
  });

  it('is moved from the wrong partition to its own, also in batches of one record', () => {
    const driver = start(1);
    for (const [i, key] of policyKeys(PARTITIONS).entries()) {
      const adopted = { key, policy: strict, adopted_by: 'asha', reason: 'test', adopted_at: Date.UTC(2026, 9, 6) };
      driver.send(topics.policies, key, adopted, { partition: (i + 1) % PARTITIONS });
    }
    driver.drain();
    assert.deepEqual(routes(driver, 'after'), ['routing-v2 needs_review']);
  });
});
