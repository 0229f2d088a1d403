import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AuditCell } from '../../policy/audit.ts';
import { unitHash } from '../../policy/hash.ts';
import { judgeStep } from '../../policy/rollout.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import type { ConversationEvent, ReviewSubmitted } from '../../schemas/types.ts';
import { RolloutEvidence } from '../../trainer/rollout/rollout-evidence.ts';
import { conversation, review } from '../fixtures.ts';

const nothing = { captured: null, reviewed: null, policy: null, erased: null };
const captured = (id: string, fields: Parameters<typeof conversation>[0] = {}): ConversationEvent => {
  const made = conversation({ conversation_id: id, nlu_confidence: 0.8, ...fields });
  return { ...nothing, conversation_id: id, captured: made };
};
const reviewed = (id: string, fields: Partial<ReviewSubmitted>): ConversationEvent => ({
  ...nothing,
  conversation_id: id,
  reviewed: review({ conversation_id: id, ...fields }),
});

/** The evidence on router-v1.0.0 after these events. */
function after(...events: ConversationEvent[]) {
  const evidence = new RolloutEvidence(['router-v1.0.0', 'router-v1.1.0']);
  for (const event of events) evidence.add(event);
  return evidence.of('router-v1.0.0');
}

const answers = ({ cells }: { readonly cells: readonly AuditCell[] }) =>
  cells.map(({ chosen, right, wrong, unusable }) => [chosen, right, wrong, unusable]);

describe('RolloutEvidence', () => {
  it('counts what each version answered itself, and its fallbacks to the LLM only as fallbacks', () => {
    const { cells, ...sums } = after(
      captured('a', { processing_time_ms: 30 }),
      captured('b', { response_success: false, processing_time_ms: 50, nlu_provider: 'llm', nlu_confidence: 0.1 }),
      reviewed('b', { verdict: 'approve' }),
      captured('c', { response_success: null, processing_time_ms: null }),
      captured('d', { model_version: 'router-v1.1.0' }),
      captured('e', { model_version: 'router-v0.9.0' }),
    );
    assert.deepEqual(sums, {
      conversations: 3,
      responses: 2,
      failures: 1,
      fallbacks: 1,
      latencyMs: { n: 1, sum: 30, squares: 900 },
      confidence: { n: 2, sum: 1.6, squares: 2 * 0.8 * 0.8 },
    });
    assert.deepEqual(
      cells.map(({ route, band, conversations, right }) => [route, band, conversations, right]),
      [['needs-review', 11, 2, 0]],
    );
  });

  it('distinguishes labels whose names have slashes', () => {
    const { cells } = after(
      captured('a', { nlu_module: 'food', nlu_intent: 'order/track' }),
      captured('b', { nlu_module: 'food/order', nlu_intent: 'track' }),
    );
    assert.equal(cells.length, 2);
  });

  it('does not count the time of an LLM as latency: fallbacks within their margin fail no version', () => {
    const evidence = new RolloutEvidence(['router-v1.0.0', 'router-v1.1.0']);
    const add = (model_version: string, every: number) => {
      for (let i = 0; i < 10_000; i++) {
        const llm = i % every === 0;
        const times = {
          processing_time_ms: llm ? 1500 : 5,
          nlu_provider: llm ? ('llm' as const) : ('indicbert' as const),
        };
        evidence.add(captured(`${model_version}/${i}`, { model_version, ...times }));
      }
    };
    add('router-v1.0.0', 50);
    add('router-v1.1.0', 25);
    const { verdict, reasons } = judgeStep(evidence.of('router-v1.1.0'), evidence.of('router-v1.0.0'));
    assert.equal(verdict, 'no-data', reasons.join(' '));
  });

  it('counts the answer that stands: the latest that is neither withdrawn nor a skip', () => {
    const first = reviewed('a', { verdict: 'approve', review_id: '1' });
    const second = reviewed('a', { verdict: 'correct', review_id: '2' });
    const skip = reviewed('a', { verdict: 'skip', review_id: '3' });
    const undo = (id: string) => reviewed('a', { verdict: 'skip', review_id: `undo-${id}`, withdraws: id });
    assert.deepEqual(answers(after(captured('a'), first)), [[1, 1, 0, 0]]);
    assert.deepEqual(answers(after(captured('a'), first, second, skip)), [[1, 0, 1, 0]]);
    assert.deepEqual(answers(after(captured('a'), first, second, undo('1'))), [[1, 0, 1, 0]]);
    assert.deepEqual(answers(after(captured('a'), first, second, undo('2'))), [[1, 1, 0, 0]]);
    assert.deepEqual(answers(after(captured('a'), second, undo('2'))), [[1, 0, 0, 0]]);
    assert.deepEqual(answers(after(captured('a'), undo('2'), second)), [[1, 0, 0, 0]]);
    assert.deepEqual(answers(after(captured('a'), reviewed('a', { verdict: 'reject' }))), [[1, 0, 0, 1]]);
  });

  it('counts a correction to the predicted label as an approval', () => {
    const { nlu_intent: corrected_intent, nlu_module: corrected_module } = conversation();
    const same = reviewed('a', { verdict: 'correct', corrected_intent, corrected_module });
    assert.deepEqual(answers(after(captured('a'), same)), [[1, 1, 0, 0]]);
    const elsewhere = reviewed('a', { verdict: 'correct', corrected_intent, corrected_module: 'ride' });
    assert.deepEqual(answers(after(captured('a'), elsewhere)), [[1, 0, 1, 0]]);
  });

  it('counts equal texts with one prediction that were answered on one day as a group, until an answer is withdrawn', () => {
    const squares = ({ cells }: { readonly cells: readonly AuditCell[] }) => cells.map((one) => one.squares);
    const alike = (id: string, fields = {}) =>
      captured(id, { user_message: `Where is order ${id.length}?`, ...fields });
    const said = (id: string, fields: Partial<ReviewSubmitted> = {}) => reviewed(id, { review_id: id, ...fields });
    const three = ['a', 'bb', 'ccc'].flatMap((id) => [alike(id), said(id)]);
    assert.deepEqual(squares(after(...three)), [9]);
    assert.deepEqual(squares(after(...three, captured('d', { user_message: 'Another text' }), said('d'))), [10]);
    assert.deepEqual(squares(after(...three, alike('d', { nlu_intent: 'cancel_order' }), said('d'))), [9, 1]);
    const tomorrow = { reviewed_at: review().reviewed_at + 86_400_000 };
    assert.deepEqual(squares(after(...three, alike('d'), said('d', tomorrow))), [10]);
    const undo = reviewed('a', { verdict: 'skip', withdraws: 'a' });
    assert.deepEqual(squares(after(...three, undo)), [4]);
    assert.deepEqual(squares(after(...three, said('bb', { verdict: 'reject', review_id: 'again' }))), [4]);
  });

  it('counts each audit by itself, because each was drawn by chance', () => {
    const always = { ...defaultPolicy, audit_share: 1 };
    const audits = ['a', 'b', 'c'].flatMap((id) => [
      { ...captured(id, { nlu_confidence: 0.99 }), policy: always },
      reviewed(id, { verdict: 'approve' }),
    ]);
    const [cell] = after(...audits).cells;
    assert.deepEqual([cell?.route, cell?.right, cell?.squares], ['auto-approved', 3, 3]);
  });

  it('follows a limited number of conversations of a version to their answers, the same ones in any order', () => {
    const ids = Array.from({ length: 4000 }, (_, i) => `c-${i}`);
    const of = (order: readonly string[]) => {
      const evidence = new RolloutEvidence(['router-v1.0.0', 'router-v1.1.0'], 500);
      for (const id of order) {
        const model_version = Number(id.slice(2)) % 10 === 0 ? 'router-v1.1.0' : 'router-v1.0.0';
        evidence.add(captured(id, { model_version }));
        evidence.add(reviewed(id, { verdict: unitHash(`right/${id}`) < 0.8 ? 'approve' : 'correct' }));
      }
      return evidence;
    };
    const evidence = of(ids);
    const [[chosen = 0, right = 0, wrong = 0] = []] = answers(evidence.of('router-v1.0.0'));
    assert.ok(chosen === 3600 && right + wrong > 200 && right + wrong <= 500, `${right + wrong} labels`);
    assert.ok(Math.abs(right / (right + wrong) - 0.8) < 0.07, `${right} of ${right + wrong}`);
    const [[few, ...labels] = []] = answers(evidence.of('router-v1.1.0'));
    assert.deepEqual([few, labels.reduce((a, b) => a + b)], [400, 400], 'the other version has few: all are followed');
    assert.deepEqual(answers(of(ids.toReversed()).of('router-v1.0.0')), answers(evidence.of('router-v1.0.0')));
  });

  it('leaves out answers on trusted conversations that were not audited', () => {
    const policy = { version: 'p', audit_share: 0, audit_salt: '', overlap_share: 0, exceptions: [] };
    const trusted = {
      ...captured('a', { nlu_confidence: 0.99 }),
      policy: { ...policy, thresholds: { trust: 0.85, doubt: 0.7 } },
    };
    assert.deepEqual(answers(after(trusted, reviewed('a', { verdict: 'correct' }))), [[0, 0, 0, 0]]);
  });
});
