import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Rows } from '../../trainer/learning/encoder.ts';
import { learnVocabulary } from '../../trainer/learning/vocabulary.ts';

/** One row per text: the features that it has, each once. */
function rowsOf(texts: readonly (readonly number[])[]): Rows {
  const indices = Int32Array.from(texts.flat());
  const starts = [0];
  for (const text of texts) starts.push((starts.at(-1) ?? 0) + text.length);
  return { starts: Int32Array.from(starts), indices, values: new Float32Array(indices.length).fill(1) };
}

describe('weights of features', () => {
  // Feature 1 is in three texts of one intent, 2 in one text of each, 3 in one text only.
  const texts = rowsOf([[1, 2], [1], [1, 3], [2], [2]]);
  const labels = { of: Int32Array.of(0, 0, 0, 1, 2), classes: 3 };
  const weights = ({ rowOf, idf }: ReturnType<typeof learnVocabulary>) =>
    [1, 2, 3].map((feature) => idf[rowOf[feature] ?? 0] ?? 0) as [number, number, number];

  it('depend only on the number of texts, without labels', () => {
    const [sure, spread, once] = weights(learnVocabulary(texts, 8, 8));
    assert.equal(sure, spread);
    assert.ok(once > sure, `${once}, ${sure}`);
  });

  it('are larger, with labels, the surer a feature is of one', () => {
    const [sure, spread, once] = weights(learnVocabulary(texts, 8, 8, undefined, labels));
    const [plain] = weights(learnVocabulary(texts, 8, 8));
    assert.ok(sure > once && once > spread, `${sure}, ${once}, ${spread}`);
    // Three texts of one label and one spread over three: p = 10/12, 1/12, 1/12.
    const entropy = -(10 / 12) * Math.log(10 / 12) - (2 / 12) * Math.log(1 / 12);
    assert.ok(Math.abs(sure / plain - (1.2 - entropy / Math.log(3))) < 1e-5, `${sure / plain}`);
    // A feature that occurs equally with every label keeps a fifth of its weight.
    assert.ok(Math.abs(spread / plain - 0.2) < 1e-5, `${spread / plain}`);
  });

  it('stay as they were where the previous version knew the feature', () => {
    const previous = learnVocabulary(rowsOf([[1], [1]]), 8, 8);
    const next = learnVocabulary(texts, 8, 8, previous, labels);
    assert.equal(next.idf[next.rowOf[1] ?? 0], previous.idf[previous.rowOf[1] ?? 0]);
  });
});
