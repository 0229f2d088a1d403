import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { keptAnswers } from '../../http/kept-answers.ts';

/** Computes numbered answers, each of which takes `tookMs` on a clock that only the test moves. */
function answering(tookMs: number) {
  const state = { at: 0, made: 0, broken: false };
  const ask = keptAnswers(
    async (question: string) => {
      await Promise.resolve();
      state.at += tookMs;
      if (state.broken) throw new Error('no answer');
      return `${question} ${String(++state.made)}`;
    },
    () => state.at,
  );
  return { state, ask };
}

describe('kept answers', () => {
  it('are kept nineteen times as long as they took, and carry their age', async () => {
    const { state, ask } = answering(2000);
    assert.deepEqual(await ask('a'), { value: 'a 1', age: 2 });
    state.at += 38_000;
    assert.deepEqual(await ask('a'), { value: 'a 1', age: 40 });
    state.at += 1;
    assert.deepEqual(await ask('a'), { value: 'a 2', age: 2 });
  });

  it('are computed once per question for all who ask meanwhile', async () => {
    const { state, ask } = answering(100);
    const all = await Promise.all([ask('a'), ask('a'), ask('b')]);
    assert.deepEqual(
      all.map(({ value }) => value),
      ['a 1', 'a 1', 'b 2'],
    );
    assert.equal(state.made, 2);
  });

  it('are computed again at once after a failure', async () => {
    const { state, ask } = answering(1000);
    state.broken = true;
    await assert.rejects(ask('a'), /no answer/);
    state.broken = false;
    assert.equal((await ask('a')).value, 'a 1');
  });

  it('are forgotten, oldest first, beyond a hundred questions', async () => {
    const { ask } = answering(1000);
    for (let i = 0; i < 101; i++) await ask(String(i));
    assert.equal((await ask('100')).value, '100 101');
    assert.equal((await ask('0')).value, '0 102');
  });
});
