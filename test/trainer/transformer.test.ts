import assert from 'node:assert/strict';
import { createReadStream, existsSync } from 'node:fs';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { env } from '@xenova/transformers';
import { trainExternally } from '../../trainer/external.ts';
import { createEncoder } from '../../trainer/learning/encoder.ts';
import { tokens } from '../../trainer/learning/hashed-ngrams.ts';
import { loadModel } from '../../trainer/learning/model.ts';
import { readClassifier } from '../../trainer/learning/onnx-classifier.ts';
import { checkModel } from '../../trainer/learning/onnx-reader.ts';
import { writeModel } from '../../trainer/learning/onnx-writer.ts';
import { train } from '../../trainer/learning/train.ts';
import { EncoderError } from '../../trainer/learning/transformer-encoder.ts';
import type { TransformerConfig } from '../../trainer/learning/transformer-encoder.ts';
import { intentNames, samples } from './samples.ts';
import { TINY_DIMENSIONS, tinyTokenizer, tinyTokenizerConfig, writeTinyEncoder } from './tiny-encoder.ts';

const config: TransformerConfig = { kind: 'transformer', model: 'tiny', pooling: 'mean' };
const rows = samples(30);
const words = [...new Set(rows.flatMap(({ text }) => tokens(text)))];
let home: string;
let places: { models: string; cache: string };

before(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), 'samvad-encoder-'));
  places = { models: path.join(home, 'models'), cache: path.join(home, 'cache') };
  await writeTinyEncoder(path.join(places.models, 'tiny'), words);
});
after(async () => {
  await rm(home, { recursive: true, force: true });
});

describe('TransformerEncoder', () => {
  it('gives one unit vector per text, pooled over its tokens and not over padding', async () => {
    const encoder = await createEncoder(config, places);
    const [together] = await encoder.encode(['book a cab', 'where is my order please hello']);
    const [alone] = await (await createEncoder(config, { models: places.models })).encode(['book a cab']);
    await encoder.close();
    assert.deepEqual([...(together?.starts ?? [])], [0, TINY_DIMENSIONS, 2 * TINY_DIMENSIONS]);
    const first = together?.values.slice(0, TINY_DIMENSIONS) ?? new Float32Array(0);
    first.forEach((value, i) => assert.ok(Math.abs(value - (alone?.values[i] ?? 9)) < 1e-5));
    assert.ok(Math.abs(first.reduce((sum, value) => sum + value * value, 0) - 1) < 1e-5);
  });

  it('keeps embeddings on disk, and drops one that a crash has truncated', async () => {
    const texts = ['send me a car', 'refund me'];
    const first = await createEncoder(config, places);
    const fresh = await first.encode(texts);
    await first.close();
    const [file = ''] = (await readdir(places.cache)).filter((name) => name.endsWith('.embeddings'));
    const size = (await stat(path.join(places.cache, file))).size;
    await appendFile(path.join(places.cache, file), Buffer.alloc(50, 1));
    const second = await createEncoder(config, places);
    assert.deepEqual(await second.encode(texts), fresh);
    await second.close();
    assert.equal((await stat(path.join(places.cache, file))).size, size);
    await truncate(path.join(places.cache, file), 2 ** 30 + 1); // full: a new file is started
    const third = await createEncoder(config, places);
    assert.deepEqual(await third.encode(texts), fresh);
    await third.close();
    assert.equal((await stat(path.join(places.cache, file))).size, texts.length * (16 + 4 * TINY_DIMENSIONS));
  });

  it('keeps embeddings of another tokenizer apart', async () => {
    const text = 'send me a car';
    const models = path.join(home, 'renewed');
    const embedding = async () => {
      const encoder = await createEncoder(config, { models, cache: places.cache });
      const [rows] = await encoder.encode([text]);
      await encoder.close();
      return rows?.values;
    };
    await writeTinyEncoder(path.join(models, 'tiny'), words);
    const before = await embedding();
    const tokenizer = JSON.stringify(tinyTokenizer(words.toReversed()));
    await writeFile(path.join(models, 'tiny', 'tokenizer.json'), tokenizer);
    assert.notDeepEqual(await embedding(), before);
  });

  it('cuts texts to the positions of the encoder, whatever its tokenizer says', async () => {
    const models = path.join(home, 'limits');
    const vector = async (model: string, text: string) => {
      const encoder = await createEncoder({ ...config, model }, { models });
      const [rows] = await encoder.encode([text]);
      await encoder.close();
      return rows?.values;
    };
    const long = Array.from({ length: 1000 }, (_, i) => words[i % words.length] ?? '');
    for (const [model, changes, tokens] of [
      ['bert', { model_type: 'bert', max_position_embeddings: 8 }, 8],
      ['roberta', { model_type: 'roberta', max_position_embeddings: 10 }, 8],
      ['rotary', { model_type: 'modernbert', max_position_embeddings: 8192 }, 512],
      ['relative', { model_type: 'bert' }, 512],
    ] as const) {
      await writeTinyEncoder(path.join(models, model), words);
      await writeFile(path.join(models, model, 'config.json'), JSON.stringify(changes));
      const unlimited = JSON.stringify({ ...tinyTokenizerConfig, model_max_length: 1e30 });
      await writeFile(path.join(models, model, 'tokenizer_config.json'), unlimited);
      const cut = await vector(model, long.slice(0, tokens).join(' '));
      assert.deepEqual(await vector(model, long.join(' ')), cut, model);
      assert.notDeepEqual(await vector(model, long.slice(0, tokens - 1).join(' ')), cut, model);
    }
  });

  it('gives a letter with a nukta one result however it is encoded, as token ids too', async () => {
    const models = path.join(home, 'nukta');
    await writeTinyEncoder(path.join(models, 'tiny'), ['\u0921\u093c']); // as NFC has it
    const tokenizer = { tokenizer: tinyTokenizer(['\u0921\u093c']), tokenizerConfig: tinyTokenizerConfig };
    for (const each of [config, { kind: 'tokens', ...tokenizer, maxLength: 8 } as const]) {
      const encoder = await createEncoder(each, { models });
      assert.deepEqual(await encoder.encode(['\u095c']), await encoder.encode(['\u0921\u093c']), each.kind);
      await encoder.close();
    }
  });

  it('trains a model that serves with the same encoder, and refuses another one', async () => {
    const outcome = await train({
      train: rows,
      dev: [],
      places,
      options: { encoder: config, epochs: 40, hidden: 64, patience: 10 },
    });
    const bytes = writeModel(outcome.classifier, outcome.views, {
      encoder: outcome.encoder,
      manifest: null,
      training: null,
    });
    const model = await loadModel(bytes, places);
    const test = samples(20, 7);
    const answers = await model.classify(test.map(({ text }) => text));
    const right = test.filter((row, i) => answers[i]?.intent === row.intent).length / test.length;
    assert.ok(right > 0.85, `${right} right`);
    await model.close();
    await writeTinyEncoder(path.join(home, 'others', 'tiny'), words, 2);
    const refusal = {
      name: 'ModelRefused',
      message: /onnx\/model\.onnx in .*: the SHA-256 is .*Bring back/,
    };
    await assert.rejects(loadModel(bytes, { models: path.join(home, 'others') }), refusal);
    await writeTinyEncoder(path.join(home, 'others', 'tiny'), words.toReversed());
    const settings = { ...refusal, message: /tokenizer\.json, .*: the SHA-256 is .*Bring back/ };
    await assert.rejects(loadModel(bytes, { models: path.join(home, 'others') }), settings);
  });

  it('refuses a file that does not pin its encoder, before anything is fetched', async () => {
    const { classifier, views, encoder } = await train({
      train: rows,
      dev: [],
      places,
      options: { encoder: config, epochs: 1, hidden: 8 },
    });
    const [pinned, commit] = [encoder as TransformerConfig, '0123456789abcdef0123456789abcdef01234567'];
    const { sha256 = '', ...unpinned } = pinned;
    const bytesOf = (other: TransformerConfig) =>
      writeModel(classifier, views, { encoder: other, manifest: { sha256: 'abc' }, training: null });
    const refused = {
      name: 'ModelRefused',
      message: 'It does not pin its sentence encoder by SHA-256 and commit.',
    };
    for (const other of [
      unpinned,
      { ...unpinned, revision: commit },
      { ...pinned, sha256: sha256.slice(1) },
      { ...pinned, revision: 'main' },
      { ...pinned, revision: commit.slice(1) },
    ])
      await assert.rejects(loadModel(bytesOf(other), places), refused);

    // A file of an external program that pins its encoder is accepted if the encoder is in the folder of encoders.
    const ready = path.join(home, 'ready.onnx');
    await writeFile(ready, bytesOf(pinned));
    const code = 'require("fs").copyFileSync(process.argv[1], process.argv[process.argv.indexOf("--output") + 1])';
    const program = { command: [process.execPath, '-e', code, '--', ready], timeoutMs: 10_000 } as const;
    const given = { program, train: rows, dev: [], manifest: { sha256: 'abc' }, folder: path.join(home, 'data-sets') };
    assert.deepEqual(await trainExternally({ ...given, places }), await readFile(ready));
    const elsewhere = { models: path.join(home, 'nowhere') };
    await assert.rejects(trainExternally({ ...given, places: elsewhere }), /is refused\. There is no encoder in/);
  });

  it('continues from the last file with new intents, and keeps the old ones by rehearsing half of their rows', async () => {
    const [old, fresh] = [samples(30, 1, intentNames.slice(0, 4)), samples(30, 1, intentNames.slice(4))];
    const options = { encoder: config, epochs: 40, hidden: 64, patience: 40 };
    const before = await train({ train: old, dev: [], places, options });
    const bytesOf = ({ classifier, views, encoder }: typeof before) =>
      writeModel(classifier, views, { encoder, manifest: null, training: null });
    const previous = readClassifier(checkModel(bytesOf(before)), before.views);
    const after = async (rehearsalPerIntent: number) => {
      const incremental = { epochs: 1, learningRate: 0.5, rehearsalPerIntent };
      const seen = old.map((row) => ({ ...row, seen: true }));
      const next = { train: [...seen, ...fresh], dev: [], places, previous, options: { ...options, incremental } };
      return loadModel(bytesOf(await train(next)), places);
    };
    const [half, none] = [await after(15), await after(0)];
    const right = async ({ classify }: typeof half, intents: readonly string[]) => {
      const test = samples(30, 5, intents);
      const answers = await classify(test.map(({ text }) => text));
      return test.filter((row, i) => answers[i]?.intent === row.intent).length / test.length;
    };
    // Of eight seeds with half of the rows: old ones 0.90 to 0.94, new ones 0.98 and more; trained from nothing 0.98 to 0.99 and 1.
    const kept = await right(half, intentNames.slice(0, 4));
    assert.ok(kept > 0.85, `old intents: ${kept}`);
    const learned = await right(half, intentNames.slice(4));
    assert.ok(learned > 0.95, `new intents: ${learned}`);
    const unpractised = await right(none, intentNames.slice(0, 4));
    assert.ok(unpractised < 0.1, `old intents without rehearsal: ${unpractised}`);
    for (const each of [half, none]) await each.close();
  });

  it('says what is missing where there is no encoder', async () => {
    const refused = (changes: Partial<TransformerConfig>, reason: RegExp) =>
      assert.rejects(createEncoder({ ...config, ...changes }, places), (error) => {
        assert.ok(error instanceof EncoderError);
        assert.match(error.message, reason);
        return true;
      });
    await refused({ model: 'nowhere' }, /no encoder in .*nowhere\. .*ID@COMMIT/);
    await refused({ model: '../others/tiny' }, /not the name of a folder/);
    await refused({ dimensions: 5 }, /gives 24 numbers a text, not 5/);
    await writeTinyEncoder(path.join(places.models, 'broken'), words);
    await writeFile(path.join(places.models, 'broken', 'onnx', 'model.onnx'), 'no model');
    await refused({ model: 'broken' }, /broken can't be used: .*protobuf/i);
  });

  it('is fetched from the hub by its commit, once', async () => {
    const asked: string[] = [];
    const hub = createServer((request, response) => {
      const [, file] = /^\/team\/tiny\/resolve\/c0ffee\/(.*)$/.exec(request.url ?? '') ?? [];
      asked.push(request.url ?? '');
      if (file === undefined || !existsSync(path.join(places.models, 'tiny', file))) response.writeHead(404).end();
      else createReadStream(path.join(places.models, 'tiny', file)).pipe(response);
    });
    await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
    const remote = env.remoteHost;
    env.remoteHost = `http://127.0.0.1:${(hub.address() as AddressInfo).port}/`;
    try {
      const [local] = await (await createEncoder(config, { models: places.models })).encode(['book a cab']);
      const wanted = { kind: 'transformer', model: 'team/tiny', revision: 'c0ffee', pooling: 'mean' } as const;
      for (const fetched of [true, false]) {
        const encoder = await createEncoder(wanted, { models: path.join(home, 'fetched') });
        assert.deepEqual(await encoder.encode(['book a cab']), [local]);
        const { sha256, settingsSha256, ...config } = encoder.config as TransformerConfig;
        assert.deepEqual(config, { ...wanted, dimensions: TINY_DIMENSIONS });
        for (const hash of [sha256, settingsSha256]) assert.match(hash ?? '', /^[0-9a-f]{64}$/);
        assert.equal(asked.splice(0).length, fetched ? 4 : 0);
        await encoder.close();
      }
      const other = { ...wanted, revision: 'c0ffee0' };
      const refused = { name: 'EncoderError', message: /can't be used: .*c0ffee0\/config.json answers 404/ };
      await assert.rejects(createEncoder(other, { models: path.join(home, 'fetched') }), refused);
      assert.deepEqual(await readdir(path.join(home, 'fetched', 'team')), ['tiny@c0ffee']);
    } finally {
      env.remoteHost = remote;
      hub.close();
    }
  });
});
