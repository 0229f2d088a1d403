import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Classification } from '../../serving/classifier.ts';
import { replyTo, verdictOn } from '../../simulation/actors.ts';
import { figuresOf } from '../../simulation/figures.ts';

const gold = { intent: 'track', module: 'food' };
const other = { intent: 'cancel', module: 'food' };
const actors = { llmAccuracy: 0.8, reviewerErrors: 0.1 };
const always = (value: number) => () => value;
const sure: Classification = {
  ...other,
  confidence: 0.75,
  out_of_scope: false,
  runners_up: [],
  version: 'router-v1.1.0',
  route: 'needs-review',
  route_reasons: [],
  policy_version: 'routing-v1',
};

describe('the players of a simulation', () => {
  it('let the model answer, right or wrong, unless its confidence is low', () => {
    const { provider, intent, version } = replyTo(sure, gold, [gold, other], actors, always(0));
    assert.deepEqual([provider, intent, version], ['indicbert', 'cancel', 'router-v1.1.0']);
    const low = { ...sure, route: 'priority-review' };
    const asked = replyTo(low, gold, [gold, other], actors, always(0));
    assert.deepEqual([asked.provider, asked.version], ['llm', 'router-v1.1.0']);
    const nobody = replyTo({ version: '', problem: 'none' }, gold, [gold, other], actors, always(0));
    assert.deepEqual([nobody.provider, nobody.version], ['llm', null]);
  });

  it('have an LLM and reviewers that err as often as configured', () => {
    const llm = (draw: number) =>
      replyTo({ version: '', problem: '' }, gold, [gold, other], actors, always(draw)).intent;
    assert.deepEqual([llm(0.79), llm(0.8)], ['track', 'cancel']);
    assert.deepEqual(verdictOn(gold, gold, [gold, other], actors, always(0.5)), { verdict: 'approve' });
    assert.deepEqual(verdictOn(other, gold, [gold, other], actors, always(0.5)), {
      verdict: 'correct',
      corrected_intent: 'track',
      corrected_module: 'food',
    });
    assert.deepEqual(verdictOn(other, gold, [gold, other], actors, always(0)), { verdict: 'approve' });
  });

  it('are counted', () => {
    const figures = figuresOf([
      { right: true, byModel: true, reviewed: false },
      { right: false, byModel: true, reviewed: true },
      { right: true, byModel: false, reviewed: true },
      { right: true, byModel: false, reviewed: true },
    ]);
    assert.deepEqual(figures, { conversations: 4, accuracy: 0.75, modelAccuracy: 0.5, fallback: 0.5, reviewed: 0.75 });
    assert.equal(figuresOf([{ right: true, byModel: false, reviewed: true }]).modelAccuracy, null);
  });
});
