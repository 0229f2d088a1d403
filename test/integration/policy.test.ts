import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { startComponents } from '../../app/components.ts';
import type { RunningComponents } from '../../app/components.ts';
import { producerOptions } from '../../app/environment.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { adoptPolicy, policyHistory, policyInForce } from '../../operations/policy.ts';
import { whatIf } from '../../operations/what-if.ts';
import { projections } from '../../pipeline.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { InputError } from '../../producers/inputs.ts';
import { sendPolicy } from '../../producers/policies.ts';
import { kafkajsClient } from '../../runtime/kafka-clients.ts';
import { digestTable } from '../../runtime/rebuild.ts';
import { topics } from '../../topology.ts';
import { review } from '../fixtures.ts';
import { endAll, startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const COUNT = 120;
const strict = { ...defaultPolicy, version: 'routing-v2', thresholds: { trust: 0.95, doubt: 0.8 } };
const adoption = { policy: strict, adopted_by: 'asha', reason: 'fewer wrong labels' };

describe('a policy on real servers', () => {
  let stack: Stack;
  let components: RunningComponents;

  before(async () => {
    stack = await startStack();
    components = await startComponents(['pipeline'], stack.prepared); // without services, which would write too
  });
  after(() =>
    endAll(
      () => components.stop(),
      () => stack.stop(),
    ),
  );

  /** Sends conversations at a confidence of 0.9, waits for their rows, and returns their numbers by policy and route. */
  async function traffic(prefix: string): Promise<Record<string, unknown>[]> {
    const { prepared } = stack;
    const producer = await createConversationProducer(producerOptions(prepared));
    await Promise.all(
      Array.from({ length: COUNT }, (_, i) =>
        producer.captureConversation({
          conversation_id: `${prefix}-${String(i)}`,
          user_message: 'where is my order?',
          language: 'en',
          nlu_intent: 'track_order',
          nlu_module: 'food',
          nlu_confidence: 0.9,
          nlu_provider: 'indicbert',
          created_at: '2026-10-05T09:30:00Z',
        }),
      ),
    );
    await producer.close();
    await untilCaughtUp(prepared.servers, prepared.pool);
    const { rows } = await prepared.pool.query<Record<string, unknown>>(
      `SELECT policy_version, route, count(*)::int AS n FROM conversation_logs WHERE conversation_id LIKE $1 GROUP BY 1, 2`,
      [`${prefix}-%`],
    );
    return rows;
  }

  /** Corrects three conversations that wait: one correction is the predicted label, and one is undone. */
  async function answers(): Promise<void> {
    const producer = await createConversationProducer(producerOptions(stack.prepared));
    const correct = (n: number, corrected_intent: string) =>
      producer.send({
        kind: 'review',
        record: review({ conversation_id: `after-${n}`, verdict: 'correct', corrected_intent, review_id: `r-${n}` }),
      });
    await correct(0, 'cancel_order');
    await correct(1, 'track_order');
    await correct(2, 'cancel_order');
    const undo = review({ conversation_id: 'after-2', verdict: 'skip', review_id: 'undo', withdraws: 'r-2' });
    await producer.send({ kind: 'review', record: undo });
    await producer.close();
  }

  it('is the built-in one until another is adopted, and that one afterwards', async () => {
    const { pool } = stack.prepared;
    assert.deepEqual(await traffic('before'), [{ policy_version: 'routing-v1', route: 'auto-approved', n: COUNT }]);
    assert.equal(await adoptPolicy(stack.prepared, adoption), 'in force');
    await untilCaughtUp(stack.prepared.servers, pool);
    assert.deepEqual(await traffic('after'), [{ policy_version: 'routing-v2', route: 'needs-review', n: COUNT }]);
    assert.deepEqual((await policyInForce(pool)).policy, strict);
  });

  it('changes nothing when it is adopted again, and refuses other rules under its version before sending', async () => {
    assert.equal(await adoptPolicy(stack.prepared, adoption), 'known');
    await assert.rejects(
      adoptPolicy(stack.prepared, { ...adoption, policy: { ...strict, audit_share: 0.2 } }),
      (error) => error instanceof InputError && /version: routing-v2 was adopted before/.test(error.message),
    );
    assert.deepEqual(
      (await policyHistory(stack.prepared.pool)).map(({ policy }) => policy.version),
      ['routing-v1', 'routing-v2'],
    );
  });

  it('is not reported as in force when somebody else adopts other rules under its version meanwhile', async () => {
    const { servers, codecs, pool } = stack.prepared;
    const first = { ...adoption, policy: { ...strict, version: 'at-once', audit_share: 0.2 } };
    const second = { ...adoption, policy: { ...first.policy, audit_share: 0.3 } };
    let sent = false;
    const query = (async (sql: string) => {
      const history = await pool.query(sql);
      if (!sent) await sendPolicy(servers.kafka, codecs, first);
      sent = true;
      return history;
    }) as Pool['query'];
    await assert.rejects(
      adoptPolicy({ ...stack.prepared, pool: { query } }, second),
      (error) => error instanceof InputError && /version: at-once was adopted before/.test(error.message),
    );
    assert.deepEqual((await policyInForce(pool)).policy, first.policy);
  });

  it('is adopted one after another when a process is asked for several at once', async () => {
    const versions = ['together-1', 'together-2', 'together-3'];
    const outcomes = versions.map((version) =>
      adoptPolicy(stack.prepared, { ...adoption, policy: { ...strict, version } }),
    );
    assert.deepEqual(await Promise.all(outcomes), ['in force', 'in force', 'in force']);
    const history = (await policyHistory(stack.prepared.pool)).map(({ policy }) => policy.version);
    assert.deepEqual(history.slice(-3).sort(), versions);
  });

  it('has its language tags in canonical case, however it was sent', async () => {
    const { servers, codecs, pool } = stack.prepared;
    const thresholds = { trust: 0.96, doubt: 0.8 };
    const policy = { ...strict, version: 'upper-case' };
    const exception = (language: string) => ({ module: null, intent: null, language, thresholds });
    await sendPolicy(servers.kafka, codecs, { ...adoption, policy: { ...policy, exceptions: [exception('TA')] } });
    await untilCaughtUp(servers, pool);
    assert.deepEqual((await policyInForce(pool)).policy.exceptions, [exception('ta')]);
  });

  it('can be compared with another in a report, which changes no topic, group or table', async () => {
    const { servers, pool } = stack.prepared;
    const admin = kafkajsClient(servers.kafka, 'test').admin();
    await admin.connect();
    const everything = async () => ({
      ends: await Promise.all(
        Object.values(topics).map(async ({ name }) =>
          (await admin.fetchTopicOffsets(name))
            .map(({ partition, high }) => `${name}/${String(partition)}@${high}`)
            .sort(),
        ),
      ),
      topics: (await admin.listTopics()).sort(),
      groups: (await admin.listGroups()).groups.map(({ groupId }) => groupId).sort(),
      tables: await Promise.all(projections.map((projection) => digestTable(pool, projection))),
    });
    await answers();
    await untilCaughtUp(servers, pool);
    const untouched = await everything();
    const loose = { ...defaultPolicy, version: 'routing-v3', audit_share: 0 };
    const report = await whatIf(stack.prepared, { policy: loose, secondsPerAnswer: 20, examples: 1 });
    assert.deepEqual(report.transitions.map(({ from, to, conversations }) => [from, to, conversations]).sort(), [
      ['auto_approved', 'auto_approved', COUNT],
      ['needs_review', 'auto_approved', COUNT],
    ]);
    assert.equal(report.review.after.conversations, 0);
    // Of the three answers, one was undone, and one correction is the predicted label.
    assert.deepEqual([report.wrong.after.judged, report.wrong.after.expected], [2, COUNT / 2]);
    const none = await whatIf(stack.prepared, { policy: loose, secondsPerAnswer: 20, examples: 1, to: 0 });
    assert.equal(none.conversations, 0);
    assert.deepEqual(await everything(), untouched);
    await admin.disconnect();
  });
});
