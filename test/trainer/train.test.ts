import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { labelName, OUT_OF_SCOPE, probabilities } from '../../trainer/learning/classifier.ts';
import type { Classifier } from '../../trainer/learning/classifier.ts';
import { createEncoder } from '../../trainer/learning/encoder.ts';
import { loadModel } from '../../trainer/learning/model.ts';
import { readClassifier } from '../../trainer/learning/onnx-classifier.ts';
import { checkModel } from '../../trainer/learning/onnx-reader.ts';
import { writeModel } from '../../trainer/learning/onnx-writer.ts';
import type { Sample } from '../../trainer/learning/split.ts';
import { train, TrainingError } from '../../trainer/learning/train.ts';
import type { TrainingOutcome } from '../../trainer/learning/train.ts';
import { trainInWorker } from '../../trainer/learning/train-worker.ts';
import { intentNames, quick, samples } from './samples.ts';

const rows = samples(20);
const fileOf = (outcome: TrainingOutcome) =>
  writeModel(outcome.classifier, outcome.views, { encoder: outcome.encoder, manifest: { rows: 1 }, training: null });
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function accuracy(classifier: Classifier, test: readonly Sample[]): Promise<number> {
  const encoder = await createEncoder({
    ...(await train({ train: rows, dev: [], options: { ...quick, epochs: 1 } })).encoder,
  });
  const p = probabilities(classifier, await encoder.encode(test.map(({ text }) => text)));
  const classes = classifier.labels.length;
  const right = test.filter((row, i) => {
    const mine = p.subarray(i * classes, (i + 1) * classes);
    const best = classifier.labels[mine.indexOf(Math.max(...mine))];
    return best !== undefined && labelName(best) === labelName(row);
  });
  return right.length / test.length;
}

describe('train', () => {
  it('learns a small corpus', async () => {
    const { classifier, history } = await train({ train: rows, dev: [], options: quick });
    assert.ok((await accuracy(classifier, samples(20, 9))) > 0.95);
    assert.ok((history.at(-1)?.trainLoss ?? 9) < (history[0]?.trainLoss ?? 0));
  });

  it('distinguishes labels whose names have slashes', async () => {
    const said = { 'where is my order': ['food', 'order/track'], 'cancel my cab': ['food/order', 'track'] } as const;
    const slashed = Object.entries(said).flatMap(([text, [module, intent]]) =>
      Array.from({ length: 20 }, () => ({ text, module, intent, language: 'en', source: 'human' as const })),
    );
    const { classifier } = await train({ train: slashed, dev: [], options: quick });
    assert.deepEqual(classifier.labels.map(labelName), ['food%2Forder/track', 'food/order/track']);
  });

  it('writes the same bytes for the same data and seed, in this thread or another, and other bytes for another seed', async () => {
    const input = { train: rows, dev: samples(5, 2), options: quick };
    const [one, two, other] = [
      await train(input),
      await trainInWorker(input),
      await train({ ...input, options: { ...quick, seed: 2 } }),
    ];
    assert.equal(hash(fileOf(one)), hash(fileOf(two)));
    assert.notEqual(hash(fileOf(one)), hash(fileOf(other)));
  });

  it('holds out some rows where no dev rows are given, and learns from them at the end', async () => {
    const outcome = await train({ train: rows, dev: [], options: quick });
    assert.equal(outcome.rows.heldOut, 12);
    assert.equal(
      outcome.history.filter(({ stage }) => stage === 'refit').length,
      outcome.history.filter(({ stage }) => stage === 'fit').length,
    );
    const given = await train({ train: rows, dev: samples(5, 2), options: quick });
    assert.equal(given.rows.heldOut, 0);
  });

  /** The probability of `name` for a text. */
  const sureOf = async ({ classifier, encoder }: TrainingOutcome, text: string, name: string) => {
    const p = probabilities(classifier, await (await createEncoder(encoder)).encode([text]));
    return p[classifier.labels.findIndex((label) => labelName(label) === name)] ?? 0;
  };

  it('is less sure where audits say that automatic labels are wrong', async () => {
    const automatic = samples(20, 2).map((row) => ({ ...row, source: 'auto' }) as const);
    const corrected = samples(4, 3).map((row, i) => ({
      ...row,
      ...(i % 2 === 0 && { intent: 'fare', module: 'ride' }),
    }));
    const fitted = async (chance?: number) => {
      const audits = corrected.map((row) => ({ ...row, ...(chance !== undefined && { reviewPropensity: chance }) }));
      return (await train({ train: rows, dev: [...automatic, ...audits], options: quick })).classifier.temperature;
    };
    const [plain, doubtful, audited] = [await fitted(), await fitted(1), await fitted(0.05)];
    assert.equal(doubtful, plain);
    assert.ok(audited > 1.2 * plain, `${audited}, without audits ${plain}`);
  });

  it('learns from dev rows at the end where there are few rows, unless it is told not to', async () => {
    const row = {
      text: 'koi hisaab do',
      intent: 'refund',
      module: 'payment',
      language: 'hi',
      source: 'human',
    } as const;
    const input = { train: rows, dev: [...samples(5, 2), row, row, row, { ...row, intent: 'unheard_of' }] };
    const learned = await train({ ...input, options: quick });
    const kept = await train({ ...input, options: { ...quick, learnDev: false } });
    assert.equal(learned.classifier.labels.length, intentNames.length);
    assert.equal(learned.classifier.temperature, kept.classifier.temperature);
    const [is, was] = [
      await sureOf(learned, row.text, 'payment/refund'),
      await sureOf(kept, row.text, 'payment/refund'),
    ];
    assert.ok(is > 0.8 && was < 0.5, `${is}, unlearned ${was}`);
  });

  it('learns from the name of an intent', async () => {
    const flights = ['up in the sky over the city', 'above the clouds', 'by air with my family', 'no road for me'].map(
      (text) => ({ text, intent: 'charter_helicopter', module: 'ride', language: 'en', source: 'human' }) as const,
    );
    const input = { train: [...rows, ...flights], dev: samples(5, 2) };
    const named = await train({ ...input, options: quick });
    const unnamed = await train({ ...input, options: { ...quick, learnNames: false } });
    const [is, was] = await Promise.all(
      [named, unnamed].map((outcome) => sureOf(outcome, 'charter a helicopter', 'ride/charter_helicopter')),
    );
    assert.ok((is ?? 0) > 0.4 && (was ?? 1) < 0.2, `${is}, unnamed ${was}`);
  });

  it('learns about an intent from others that share a word in their names', async () => {
    const texts = {
      alarm_set: ['put an alarm at six', 'put it on for the morning', 'put one at nine', 'put a loud one'],
      alarm_query: ['which alarm is on', 'which one rings first', 'which is the loud one', 'which rings at six'],
      calendar_query: [
        'which meeting is first',
        'which lunch is with the family',
        'which dinner is late',
        'which day is free',
      ],
      calendar_set: ['new meeting with the bank', 'new lunch at noon', 'new dinner with my boss', 'new day off'],
    };
    const train_ = Object.entries(texts).flatMap(([intent, said]) =>
      said.map((text) => ({ text, intent, module: 'home', language: 'en', source: 'human' }) as const),
    );
    const [is, was] = await Promise.all(
      [0.5, 0].map(async (nameSharing) => {
        const options = { ...quick, epochs: 10, certainRows: 0, nameSharing };
        return sureOf(await train({ train: train_, dev: train_, options }), 'put dinner', 'home/calendar_set');
      }),
    );
    assert.ok((is ?? 0) > (was ?? 1) + 0.05, `${is}, not shared ${was}`);
  });

  it('stops early when the dev rows get no better', async () => {
    const { history } = await train({ train: rows, dev: samples(5, 2), options: { ...quick, epochs: 50 } });
    assert.ok(history.length < 50, `${history.length} epochs`);
  });

  const bad: readonly (readonly [string, readonly Sample[], RegExp])[] = [
    ['no rows', [], /no training rows: every text is empty, left out, or reserved/],
    ['one class', samples(10, 1, ['ride/fare']), /ride\/fare; a classifier needs at least two/],
    ['texts without words', samples(4).map((row) => ({ ...row, text: ' ' })), /has a word/],
  ];
  for (const [name, train_, message] of bad)
    it(`says what is wrong with ${name}`, async () => {
      await assert.rejects(
        train({ train: train_, dev: [], options: quick }),
        (error) => error instanceof TrainingError && message.test(error.message),
      );
      await assert.rejects(
        trainInWorker({ train: train_, dev: [], options: quick }),
        (error) => error instanceof TrainingError && message.test(error.message),
      );
    });
  it('refuses more than 50 epochs', async () => {
    await assert.rejects(train({ train: rows, dev: [], options: { epochs: 51 } }), /epochs is 51/);
  });

  it('ends when it is aborted, in this thread or another', async () => {
    for (const run of [train, trainInWorker]) {
      const controller = new AbortController();
      const started = run(
        { train: samples(300), dev: [], options: { epochs: 50, patience: 50 } },
        {
          signal: controller.signal,
          onEpoch: () => controller.abort(new Error('enough')),
        },
      );
      await assert.rejects(started, /enough/);
    }
  });

  it('takes out-of-scope rows as a class that is never the answer', async () => {
    const outside = [
      'what is the meaning of life',
      'sing me a song',
      'who won the match',
      'tell me a joke',
      'is it raining',
    ];
    const more = outside
      .flatMap((text) => [text, `hey ${text}`])
      .map((text) => ({ text, intent: OUT_OF_SCOPE, module: OUT_OF_SCOPE, language: 'en', source: 'human' }) as const);
    const model = await loadModel(fileOf(await train({ train: [...rows, ...more], dev: [], options: quick })));
    const [unknown, known] = await model.classify(['please sing me a song', 'cancel my order']);
    assert.notEqual(unknown?.intent, OUT_OF_SCOPE);
    assert.ok((unknown?.confidence ?? 1) < (known?.confidence ?? 0) / 2, `${unknown?.confidence} ${known?.confidence}`);
    assert.equal(unknown?.outOfScope, true);
    await model.close();
  });
});

describe('incremental training', () => {
  it('learns new intents from the last file and keeps the old ones', async () => {
    const [old, fresh] = [intentNames.slice(0, 4), intentNames.slice(4)];
    const before = await train({ train: samples(20, 1, old), dev: [], options: quick });
    const previous = readClassifier(checkModel(fileOf(before)), before.views);
    const seen = samples(20, 1, old).map((row) => ({ ...row, seen: true }));
    const after = await train({
      train: [...seen, ...samples(20, 1, fresh)],
      dev: [],
      previous,
      options: { ...quick, epochs: 12, incremental: { epochs: 0.5, learningRate: 0.5, rehearsalPerIntent: 8 } },
    });
    assert.equal(after.rows.rehearsed, 8 * old.length);
    assert.deepEqual(after.classifier.labels.slice(0, 4), before.classifier.labels);
    const oldTest = samples(20, 5, old);
    const [was, is] = [await accuracy(before.classifier, oldTest), await accuracy(after.classifier, oldTest)];
    assert.ok(is >= was - 0.02, `old intents fell from ${was} to ${is}`);
    assert.ok((await accuracy(after.classifier, samples(20, 5, fresh))) > 0.9);
  });

  it('continues each tower, whatever their order in the last file', async () => {
    const options = { ...quick, certainRows: 0 };
    const { classifier } = await train({ train: rows, dev: [], options });
    const next = async (towers: Classifier['towers']) =>
      hash(fileOf(await train({ train: rows, dev: [], previous: { ...classifier, towers }, options })));
    const maximaFirst = classifier.towers.toSorted((a, b) => a.pooling.localeCompare(b.pooling));
    assert.notDeepEqual(maximaFirst, classifier.towers);
    assert.equal(await next(maximaFirst), await next(classifier.towers));
    assert.notEqual(await next(classifier.towers.slice(1)), await next(classifier.towers));
  });
});
