import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { probabilities } from '../../trainer/learning/classifier.ts';
import type { Classifier } from '../../trainer/learning/classifier.ts';
import { createEncoder } from '../../trainer/learning/encoder.ts';
import { loadModel } from '../../trainer/learning/model.ts';
import { readClassifier } from '../../trainer/learning/onnx-classifier.ts';
import { checkModel } from '../../trainer/learning/onnx-reader.ts';
import { modelFields } from '../../trainer/learning/onnx-schema.ts';
import type { OnnxModel } from '../../trainer/learning/onnx-schema.ts';
import { writeModel } from '../../trainer/learning/onnx-writer.ts';
import { message } from '../../trainer/learning/protobuf.ts';
import type { Field } from '../../trainer/learning/protobuf.ts';
import { random } from '../../trainer/learning/random.ts';
import { train } from '../../trainer/learning/train.ts';
import type { TrainingOutcome } from '../../trainer/learning/train.ts';
import { checkLabels } from '../../trainer/register.ts';
import { quick, samples } from './samples.ts';

let outcome: TrainingOutcome;
let bytes: Buffer;
const manifest = { sha256: 'abc', offsets: { '0': [0, 12] }, note: 'मेरा' };

before(async () => {
  // With the settings for many rows, so that there are towers of both kinds.
  outcome = await train({ train: samples(20), dev: [], options: { ...quick, certainRows: 0 } });
  bytes = writeModel(outcome.classifier, outcome.views, { encoder: outcome.encoder, manifest, training: { seed: 1 } });
});

/** One word of `length` hexadecimal digits, in which no sequence repeats for long. */
function noise(length: number): string {
  const next = random(length);
  return Array.from({ length }, () => Math.floor(16 * next()).toString(16)).join('');
}

/** Asserts that the file and the trainer give the same answers to texts of many lengths, which share batches. */
async function same(classifier: Classifier): Promise<void> {
  // The last two have too many features to share a batch with others.
  const long = [noise(131_072), `${noise(3000)} refund`];
  const texts = [...samples(10, 7).map(({ text }) => text), '', '😀', 'नमस्ते दुनिया', 'word '.repeat(500), ...long];
  const encoder = await createEncoder(outcome.encoder);
  const mine = probabilities(classifier, await encoder.encode(texts));
  const model = await loadModel(
    writeModel(classifier, outcome.views, { encoder: outcome.encoder, manifest, training: null }),
  );
  const theirs = await model.probabilities(texts);
  await model.close();
  assert.equal(mine.length, theirs.length);
  mine.forEach((p, i) => assert.ok(Math.abs(p - (theirs[i] ?? 9)) < 1e-5, `${p} and ${theirs[i]} at ${i}`));
}

describe('the file', () => {
  it("can't be registered with labels that intake refuses", () => {
    const named = (intent: string, module = 'bank') => [{ module, intent }];
    const refused = (problem: RegExp) => ({ name: 'ModelLogRefused', message: problem });
    assert.throws(
      () => checkLabels(named('reverted_card_payment?')),
      refused(/bank\/reverted_card_payment\? .*intent/),
    );
    assert.throws(() => checkLabels(named('')), refused(/of its intent: "" is not a name/));
    assert.throws(() => checkLabels(named('refund', '')), refused(/of its module/));
    checkLabels(named('out_of_scope', ''));
    checkLabels(named('refund'));
  });

  it('gives the same numbers in onnxruntime as in the trainer', () => same(outcome.classifier));

  it('gives the same numbers where the model knows the feature that pads shorter texts', async () => {
    const { vocabularies } = outcome.classifier;
    const known = vocabularies.map(({ rowOf, idf }) => {
      const row = rowOf.find((place) => place > 0) ?? 0;
      return { rowOf: rowOf.with(0, row), idf };
    });
    assert.ok(known.every(({ rowOf }) => (rowOf[0] ?? 0) > 0));
    await same({ ...outcome.classifier, vocabularies: known });
  });

  it('gives the same numbers in any order of the towers', async () => {
    const texts = samples(10, 7).map(({ text }) => text);
    const turned = { ...outcome.classifier, towers: outcome.classifier.towers.toReversed() };
    const models = await Promise.all(
      [outcome.classifier, turned].map((classifier) =>
        loadModel(writeModel(classifier, outcome.views, { encoder: outcome.encoder, manifest, training: null })),
      ),
    );
    const [mine, theirs] = await Promise.all(models.map((model) => model.probabilities(texts)));
    await Promise.all(models.map((model) => model.close()));
    assert.equal(mine?.length, theirs?.length);
    mine?.forEach((p, i) => assert.ok(Math.abs(p - (theirs?.[i] ?? 9)) < 1e-5, `${p} and ${theirs?.[i]} at ${i}`));
  });

  it('carries labels, temperature, threshold, encoder and manifest', async () => {
    const model = await loadModel(bytes);
    const { labels, temperature, threshold } = outcome.classifier;
    assert.deepEqual(model.metadata.manifest, manifest);
    assert.deepEqual(
      { labels, temperature, threshold, encoder: outcome.encoder },
      {
        labels: model.metadata.labels,
        temperature: model.metadata.temperature,
        threshold: model.metadata.threshold,
        encoder: model.metadata.encoder,
      },
    );
    await model.close();
  });

  it('has towers with maxima where there are enough rows', async () => {
    assert.deepEqual(
      outcome.classifier.towers.map(({ pooling, hidden }) => `${pooling} ${hidden}`),
      ['sum 12', 'sum 12', 'sum 12', 'sum 12', 'max 12', 'max 12', 'sum 12'],
    );
    const few = await train({ train: samples(5), dev: [], options: quick });
    assert.deepEqual(
      few.classifier.towers.map(({ pooling, hidden }) => `${pooling} ${hidden}`),
      ['sum 16', 'sum 16', 'sum 16', 'sum 16', 'sum 16'],
    );
  });

  it('can be read back into the classifier that was written, to the same bytes', () => {
    const again = readClassifier(checkModel(bytes), outcome.views);
    const { encoder } = outcome;
    assert.ok(writeModel(again, outcome.views, { encoder, manifest, training: { seed: 1 } }).equals(bytes));
  });

  it('answers with runners-up in order, the same alone and in a batch', async () => {
    const model = await loadModel(bytes);
    const [answer] = await model.classify(['cancel my order']);
    assert.equal(answer?.intent, 'cancel_order');
    assert.equal(answer.module, 'food');
    assert.equal(answer.runnersUp.length, 3);
    const ranked = [answer.confidence, ...answer.runnersUp.map(({ confidence }) => confidence)];
    assert.deepEqual(
      ranked,
      [...ranked].sort((a, b) => b - a),
    );
    const many = await model.classify(['a much longer text about a taxi that is late', 'cancel my order', 'x']);
    assert.ok(Math.abs((many[1]?.confidence ?? 0) - answer.confidence) < 1e-6);
    assert.deepEqual(await model.classify([]), []);
    await model.close();
  });
});

describe('unusual texts', () => {
  it('are out of scope without a known word: empty, spaces, signs, another script', async () => {
    const model = await loadModel(bytes);
    for (const answer of await model.classify(['', ' \n\t', '\u0000', '𓀀𓀁', '']))
      assert.ok(answer.outOfScope && answer.confidence > 0, JSON.stringify(answer));
    await model.close();
  });

  it('may have 100 kB, in one word or many, and do not change the answers to other texts', async () => {
    const model = await loadModel(bytes);
    const [alone] = await model.classify(['cancel my order']);
    const long = ['cancel my order '.repeat(6400), 'x'.repeat(100_000), 'ि'.repeat(33_000)];
    const answers = await model.classify([...long, 'cancel my order']);
    assert.equal(answers.length, 4);
    assert.equal(answers[0]?.intent, 'cancel_order');
    assert.ok(Math.abs((answers[3]?.confidence ?? 0) - (alone?.confidence ?? 9)) < 1e-6);
    await model.close();
  });

  it('may be 10,000 at once, with each answer in its place', async () => {
    const model = await loadModel(bytes);
    const rows = Array.from({ length: 10_000 }, (_, i) => ['cancel my order', 'book a cab'][i % 2] ?? '');
    const answers = await model.classify(rows);
    assert.equal(answers.length, rows.length);
    assert.deepEqual([...new Set(answers.map(({ intent }, i) => `${i % 2} ${intent}`))].sort(), [
      '0 cancel_order',
      '1 book_cab',
    ]);
    await model.close();
  });
});

describe('refused files', () => {
  const tiny: OnnxModel = {
    inputs: [{ name: 'x', type: 'float', shape: ['n'] }],
    outputs: [{ name: 'y', type: 'float', shape: ['n'] }],
    constants: [{ name: 'c', shape: [1], data: Float32Array.of(1) }],
    nodes: [{ op: 'Add', inputs: ['x', 'c'], output: 'y' }],
    metadata: [],
  };
  const refusal = (message: RegExp) => ({ name: 'ModelRefused', message });
  const graphOf = (fields: readonly Field[]) => fields.find(([number]) => number === 7)?.[1] as readonly Field[];
  const withGraph = (more: readonly Field[]) =>
    message([...modelFields(tiny).filter(([number]) => number !== 7), [7, [...graphOf(modelFields(tiny)), ...more]]]);

  it('cut off, empty, or no ONNX at all', async () => {
    for (const part of [0.1, 0.5, 0.999])
      await assert.rejects(
        loadModel(bytes.subarray(0, Math.floor(bytes.length * part))),
        refusal(/not a whole ONNX|no graph/),
      );
    await assert.rejects(loadModel(Buffer.alloc(0)), refusal(/empty/));
    await assert.rejects(loadModel(Buffer.from('<html>no model here</html>')), refusal(/not a whole ONNX/));
  });
  it('valid outside, damaged inside', async () => {
    const broken = message(
      modelFields({ ...tiny, nodes: [{ op: 'NoSuchOperator', inputs: ['x'], output: 'y' }], metadata: metadata() }),
    );
    await assert.rejects(loadModel(broken), refusal(/onnxruntime can't load/));
  });
  it('of another program or format', async () => {
    await assert.rejects(loadModel(message(modelFields(tiny))), refusal(/samvad/));
    const other = message(modelFields({ ...tiny, metadata: metadata({ format: '2' }) }));
    await assert.rejects(loadModel(other), refusal(/format/));
    const unfit = message(modelFields({ ...tiny, metadata: metadata() }));
    await assert.rejects(loadModel(unfit), refusal(/do not fit its encoder/));
  });
  it('with tensors in other files, at the top or inside an attribute', async () => {
    const outside: Field = [
      5,
      [
        [1, 1],
        [2, 1],
        [8, 'weights'],
        [
          13,
          [
            [1, 'location'],
            [2, '/etc/passwd'],
          ],
        ],
        [14, 1],
      ],
    ];
    await assert.rejects(loadModel(withGraph([outside])), refusal(/weights/));
    const [, tensor] = outside;
    const inAttribute: Field = [
      1,
      [
        [2, 'z'],
        [4, 'Constant'],
        [
          5,
          [
            [1, 'value'],
            [5, tensor],
            [20, 4],
          ],
        ],
      ],
    ];
    await assert.rejects(loadModel(withGraph([inAttribute])), refusal(/weights/));
  });
  it('with operators that are not of the standard, at the top or in a branch', async () => {
    const custom: Field = [
      1,
      [
        [1, 'x'],
        [2, 'z'],
        [4, 'Evil'],
        [7, 'com.example'],
      ],
    ];
    await assert.rejects(loadModel(withGraph([custom])), refusal(/Evil.*com\.example/));
    const branch: Field = [
      1,
      [
        [1, 'x'],
        [2, 'z'],
        [4, 'If'],
        [
          5,
          [
            [1, 'then_branch'],
            [6, [custom]],
            [20, 5],
          ],
        ],
      ],
    ];
    await assert.rejects(loadModel(withGraph([branch])), refusal(/Evil/));
    const imported = message([
      ...modelFields(tiny),
      [
        8,
        [
          [1, 'com.microsoft'],
          [2, 1],
        ],
      ],
    ]);
    await assert.rejects(loadModel(imported), refusal(/com\.microsoft/));
  });

  function metadata(changes: Readonly<Record<string, unknown>> = {}): readonly (readonly [string, string])[] {
    const { encoder, classifier } = outcome;
    const { labels, temperature, threshold } = classifier;
    return Object.entries({ format: '1', encoder, labels, temperature, threshold, ...changes }).map(([key, value]) => [
      `samvad.${key}`,
      JSON.stringify(value),
    ]);
  }
});
