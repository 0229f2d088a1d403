import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Sample } from '../../trainer/learning/split.ts';
import { rowLimit } from '../../trainer/row-limit.ts';

const rows = (intent: string, count: number, source: Sample['source']): Sample[] =>
  Array.from({ length: count }, (_, i) => ({ text: `${intent} ${i}`, intent, module: 'm', language: 'en', source }));
const taken = (all: readonly Sample[], limit: number) => {
  const counts: Record<string, number> = {};
  for (const { intent } of all) counts[`m/${intent}`] = (counts[`m/${intent}`] ?? 0) + 1;
  return all.filter(rowLimit(counts, limit));
};
const of = (all: readonly Sample[], intent: string) => all.filter((row) => row.intent === intent).length;

describe('the limit of rows', () => {
  it('takes all rows where they are within it', () => {
    const all = [...rows('a', 900, 'auto'), ...rows('b', 100, 'auto')];
    assert.deepEqual(taken(all, 1000), all);
  });

  it('takes all rows of small labels, and shares the rest among large ones', () => {
    const all = [...rows('a', 6000, 'auto'), ...rows('b', 4000, 'auto'), ...rows('c', 50, 'auto')];
    const kept = taken(all, 2050);
    assert.equal(of(kept, 'c'), 50);
    for (const intent of ['a', 'b']) {
      const count = of(kept, intent);
      assert.ok(Math.abs(count - 1000) < 150, `${intent} has ${count}; its share is about 1,000`);
    }
    assert.deepEqual(taken(all, 2050), kept, 'the same again');
  });

  it('always takes labels of people', () => {
    const all = [...rows('a', 5000, 'auto'), ...rows('a', 300, 'human')];
    const kept = taken(all, 500);
    assert.equal(kept.filter(({ source }) => source === 'human').length, 300);
    assert.ok(kept.length < 1000, `${kept.length} are taken`);
  });
});
