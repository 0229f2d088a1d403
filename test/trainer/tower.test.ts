import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { softmax } from '../../trainer/learning/classifier.ts';
import type { Rows } from '../../trainer/learning/encoder.ts';
import { random } from '../../trainer/learning/random.ts';
import { newTower, scores, TowerLearner } from '../../trainer/learning/tower.ts';

const rates = { featureDropout: 0, hiddenDropout: 0, smoothing: 0, nameSharing: 0 };
const view = (texts: readonly (readonly number[])[], value = 0.5): Rows => ({
  starts: Int32Array.from([0, ...texts.map((_, i) => texts.slice(0, i + 1).flat().length)]),
  indices: Int32Array.from(texts.flat()),
  values: new Float32Array(texts.flat().length).fill(value),
});
/** Two units and features 1 and 2: the first is larger in unit 0, the second in unit 1. */
const tower = () => {
  const made = newTower([0], [3], { hidden: 2, pooling: 'max', rectified: false }, 2, random(1));
  made.features[0]?.set([0, 0, 0.4, -0.3, -0.2, 0.1]);
  made.output.set([1, -1, 2, 0.5]);
  return made;
};

describe('a tower with maxima', () => {
  it('takes the largest value of each unit, whatever the weight of a feature and the number of the others', () => {
    const is = scores(tower(), [view([[1, 2], [2, 1, 2, 2], [2], []])]);
    const near = (places: readonly number[], expected: readonly number[]) =>
      places.forEach((at, i) => assert.ok(Math.abs((is[at] ?? 9) - (expected[i] ?? 0)) < 1e-6, `${is[at]} at ${at}`));
    near([0, 1, 2, 3], [0.6, -0.35, 0.6, -0.35]);
    near([4, 5], [0, 0.25]);
    near([6, 7], [0, 0]);
    assert.deepEqual(scores(tower(), [view([[1, 2]], 0.1)]), is.slice(0, 2));
  });

  it('learns only at the largest values, and is surer of the text afterwards', () => {
    const learned = tower();
    const learner = new TowerLearner(learned, rates, random(2));
    const text = [view([[1, 2]])];
    const before = softmax(scores(learned, text), 2, 1);
    const loss = learner.learn(text, 0, 1, 0.05);
    const moved = [...(learned.features[0] ?? [])].map((w, i) => w !== tower().features[0]?.[i]);
    assert.deepEqual(moved, [false, false, true, false, false, true]);
    assert.ok(Math.abs(loss + Math.log(before[1] ?? 0)) < 1e-5, `loss ${loss}`);
    assert.ok((softmax(scores(learned, text), 2, 1)[1] ?? 0) > (before[1] ?? 1));
  });
});
