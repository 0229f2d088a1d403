import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import {
  blankStanding,
  emptyLog,
  firstModel,
  foldLog,
  register,
  rollBack,
  setTraffic,
} from '../../policy/model-log.ts';
import type { Act, ModelLog } from '../../policy/model-log.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import type { ModelEvent } from '../../schemas/types.ts';
import { openClassifier } from '../../serving/classifier.ts';
import type { Classification, Classifier } from '../../serving/classifier.ts';
import { openModelShelf } from '../../serving/model-shelf.ts';
import { openArtifactFolder } from '../../trainer/artifacts.ts';
import type { EncoderConfig } from '../../trainer/learning/encoder.ts';
import { loadModel } from '../../trainer/learning/model.ts';
import type { Model } from '../../trainer/learning/model.ts';
import { writeModel } from '../../trainer/learning/onnx-writer.ts';
import { train } from '../../trainer/learning/train.ts';
import { quick, samples } from './samples.ts';

const act: Act = { by: 'test', reason: 'a test', at: 0 };
const question = (conversationId: string | null = null, text = 'cancel my order') => ({
  text,
  language: 'en',
  conversationId,
});
const [V0, V1, V2] = ['router-v1.0.0', 'router-v1.1.0', 'router-v1.2.0'] as const;

let folder: string;
let files: readonly string[];
const store = () => openArtifactFolder(folder);
const fileOf = (sha256: string) => path.join(folder, sha256.slice(0, 2), sha256);

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-serving-'));
  files = await Promise.all(
    [1, 2].map(async (seed) => {
      const { classifier, views, encoder } = await train({ train: samples(20), dev: [], options: { ...quick, seed } });
      return store().put(writeModel(classifier, views, { encoder, manifest: null, training: { seed } }));
    }),
  );
});
after(() => rm(folder, { recursive: true, force: true }));

/** The log after `steps`, each of which decides on the log before it. */
function logOf(...steps: readonly ((log: ModelLog) => readonly ModelEvent[])[]): ModelLog {
  const first = foldLog(emptyLog, { models: [firstModel()] });
  return steps.reduce((log, step) => foldLog(log, { models: step(log) }), first);
}
const registered = (version: string, artifact_sha256: string | undefined) => (log: ModelLog) =>
  register(log, version, { ...blankStanding(0), artifact_sha256: artifact_sha256 ?? null }, act);
const traffic = (version: string, percent: number) => (log: ModelLog) => setTraffic(log, version, percent, act);

describe('the classifier', () => {
  let classifier: Classifier;
  const shelf = (retryMs = 0) => openModelShelf({ artifacts: store(), retryMs });
  beforeEach(() => {
    classifier = openClassifier(shelf(), pino({ level: 'silent' }));
  });
  const inProduction = () => [registered(V1, files[0]), traffic(V1, 100)];
  const onTrial = (percent: number) => [...inProduction(), registered(V2, files[1]), traffic(V2, percent)];
  const versions = async (count = 400) => {
    const ids = Array.from({ length: count }, (_, i) => question(`c-${i}`));
    return (await classifier.classify(ids, defaultPolicy)).map(({ version }) => version);
  };
  const untilRefused = async (version: string, pattern: RegExp) => {
    for (let i = 0; !pattern.test(classifier.refused()[version] ?? ''); i++) {
      assert.ok(i < 500, JSON.stringify(classifier.refused()));
      await sleep(10);
    }
  };

  it('answers with intent, module, confidence, runners-up, version, and the route under the policy', async () => {
    classifier.follow(logOf(...inProduction()));
    const [answer] = (await classifier.classify([question('c-1')], defaultPolicy)) as [Classification];
    const { confidence } = answer;
    assert.deepEqual(
      [answer.intent, answer.module, answer.version, answer.policy_version],
      ['cancel_order', 'food', V1, 'routing-v1'],
    );
    assert.equal(answer.runners_up.length, 3);
    const thresholds = (trust: number, doubt: number) => ({ ...defaultPolicy, thresholds: { trust, doubt } });
    for (const [policy, expected] of [
      [thresholds(confidence - 0.01, 0), 'auto-approved'],
      [thresholds(2, confidence - 0.01), 'needs-review'],
      [thresholds(2, 2), 'priority-review'],
    ] as const)
      assert.equal(((await classifier.classify([question()], policy)) as [Classification])[0].route, expected);
  });

  it('masks personal data before it asks a model, as in the texts that models learn from', async () => {
    const model = await loadModel(await store().get(files[0] ?? ''));
    const asked: string[] = [];
    const classify = (texts: readonly string[]) => model.classify((asked.push(...texts), texts));
    const watching = {
      use: <T>(_: string, work: (model: Model) => Promise<T>) => work({ ...model, classify }),
      close: model.close,
    };
    const masking = openClassifier(watching, pino({ level: 'silent' }));
    masking.follow(logOf(...inProduction()));
    await masking.classify([question('c-1', 'cancel it and call 9876543210')], defaultPolicy);
    await masking.close();
    assert.ok(asked.includes('cancel it and call <phone>'), asked.join());
  });

  it('splits the traffic by conversation, and a conversation with the new version keeps it as the share grows', async () => {
    classifier.follow(logOf(...onTrial(10)));
    const tenth = await versions();
    const share = tenth.filter((version) => version === V2).length / tenth.length;
    assert.ok(share > 0.05 && share < 0.15, `${share}`);
    assert.deepEqual(await versions(), tenth);
    classifier.follow(logOf(...onTrial(10), traffic(V2, 50)));
    const half = await versions();
    assert.ok(tenth.every((version, i) => version === V1 || half[i] === V2));
    classifier.follow(logOf(...onTrial(10), (log) => rollBack(log, V2, act)));
    assert.deepEqual([...new Set(await versions())], [V1]);
  });

  it('reports what each version answered of a request, and how long that took', async () => {
    const told: [version: string, answers: number, seconds: number][] = [];
    const measured = openClassifier(shelf(), pino({ level: 'silent' }), (results, seconds) =>
      told.push([[...new Set(results.map(({ version }) => version))].join(), results.length, seconds]),
    );
    measured.follow(logOf(...onTrial(50)));
    const questions = Array.from({ length: 100 }, (_, i) => question(`c-${i}`));
    const answers = await measured.classify(questions, defaultPolicy);
    await measured.close();
    const count = (by: string) => answers.filter(({ version }) => version === by).length;
    assert.deepEqual(told.map(([version, results]) => [version, results]).sort(), [
      [V1, count(V1)],
      [V2, count(V2)],
    ]);
    assert.ok(told.every(([, , seconds]) => seconds > 0));
  });

  it('says that another system answers where the version in charge has no file', async () => {
    classifier.follow(logOf());
    const [result] = await classifier.classify([question()], defaultPolicy);
    assert.deepEqual(result, {
      version: V0,
      problem: `${V0} has no file here; the system that it belongs to answers.`,
    });
    assert.equal(classifier.readiness(), 'ok');
  });

  it('is not ready before the log was read', async () => {
    assert.match(classifier.readiness(), /not been read yet/);
    assert.match(JSON.stringify(await classifier.classify([question()], defaultPolicy)), /not been read yet/);
  });

  for (const [kind, damage, pattern] of [
    ['damaged', (file: string) => writeFile(file, 'not a model'), /was damaged/],
    ['missing', (file: string) => rm(file), /is not in/],
  ] as const)
    it(`answers with the version before when a file is ${kind}, says why, and uses the file when it is back`, async () => {
      const file = fileOf(files[1] ?? '');
      const bytes = await readFile(file);
      try {
        await damage(file);
        classifier.follow(logOf(...onTrial(100)));
        await untilRefused(V2, pattern);
        assert.deepEqual([...new Set(await versions(20))], [V1]);
      } finally {
        await writeFile(file, bytes);
      }
      assert.deepEqual([...new Set(await versions(20))], [V2]);
      assert.deepEqual(classifier.refused(), {});
    });

  it('refuses a foreign file under its right hash', async () => {
    const foreign = await store().put(Buffer.from('<html>no model here</html>'));
    classifier.follow(logOf(...inProduction(), registered(V2, foreign), traffic(V2, 50)));
    await untilRefused(V2, /not a whole ONNX model/);
    assert.deepEqual([...new Set(await versions(50))], [V1]);
  });

  for (const [what, config, pattern] of [
    [
      'a folder that does not exist',
      { kind: 'transformer', model: 'no-such', sha256: 'a'.repeat(64), pooling: 'mean', dimensions: 8 },
      /encoder.*no-such/s,
    ],
    [
      'one from the hub that is not pinned',
      { kind: 'transformer', model: 'team/tiny', revision: 'main', sha256: 'a'.repeat(64), pooling: 'mean' },
      /does not pin its sentence encoder/,
    ],
    [
      'a malformed tokenizer',
      { kind: 'tokens', tokenizer: {}, tokenizerConfig: {}, maxLength: 8 },
      /Its tokenizer can't be used/,
    ],
    ['a kind that only a newer program knows', { kind: 'whole-words' }, /encoder.*whole-words/s],
  ] as const)
    it(`answers with the version before when the encoder of a new one is ${what}`, async () => {
      const { classifier: trained, views } = await train({ train: samples(20), dev: [], options: quick });
      const encoder = config as unknown as EncoderConfig;
      const other = await store().put(writeModel(trained, views, { encoder, manifest: null, training: null }));
      classifier.follow(logOf(...inProduction(), registered(V2, other), traffic(V2, 50)));
      await untilRefused(V2, pattern);
      assert.deepEqual([...new Set(await versions(50))], [V1]);
    });

  it('gives the reason where no earlier version can answer either', async () => {
    const foreign = await store().put(Buffer.from('<html>'));
    classifier.follow(logOf(registered(V1, foreign), traffic(V1, 100)));
    const [result] = await classifier.classify([question()], defaultPolicy);
    assert.match(JSON.stringify(result), /v1\.0\.0 has no file here.*v1\.1\.0 is not served: The file is not a whole/);
  });
});

describe('the shelf', () => {
  it('keeps a few models loaded, and never closes one that is in use', async () => {
    let reads = 0;
    const artifacts = {
      get: (sha256: string) => {
        reads++;
        return store().get(sha256);
      },
    };
    const shelf = openModelShelf({ artifacts, capacity: 1 });
    const [a = '', b = ''] = files;
    const answer = await shelf.use(a, async (model) => {
      await shelf.use(b, (other) => other.classify(['book a cab']));
      return model.classify(['cancel my order']);
    });
    assert.equal(answer[0]?.intent, 'cancel_order');
    await shelf.use(a, () => Promise.resolve());
    assert.equal(reads, 2);
    await shelf.use(b, () => Promise.resolve());
    assert.equal(reads, 3);
    await shelf.close();
  });
});
