import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { programEnvironment, readConfig } from '../../config.ts';
import { recipeOf, servingPlaces } from '../../trainer/learning/recipe.ts';

const commit = '0123456789abcdef0123456789abcdef01234567';
const of = (env: NodeJS.ProcessEnv, choice = {}) =>
  recipeOf(readConfig({ SAMVAD_HOME: '/home', ...env }, choice).training);

describe('what trains', () => {
  it('is this trainer with n-grams where variables are unset or empty', () => {
    const places = { models: '/home/artifacts/encoders', cache: '/home/embeddings' };
    assert.deepEqual(of({}), { options: {}, places });
    assert.deepEqual(of({ SAMVAD_ENCODER: '', SAMVAD_TRAINER_COMMAND: '', SAMVAD_ENCODER_POOLING: '' }), of({}));
  });

  it('is a sentence encoder from a folder or from the hub', () => {
    const encoder = { kind: 'transformer', model: 'indicbert', pooling: 'mean' };
    assert.deepEqual(of({ SAMVAD_ENCODER: 'indicbert' }).options, { encoder });
    assert.deepEqual(
      of({ SAMVAD_ENCODER: `Xenova/all-MiniLM-L6-v2@${commit}`, SAMVAD_ENCODER_POOLING: 'cls' }).options,
      {
        encoder: { ...encoder, model: 'Xenova/all-MiniLM-L6-v2', revision: commit, pooling: 'cls' },
      },
    );
    const { training } = readConfig({ SAMVAD_ENCODERS: 'models', SAMVAD_EMBEDDINGS: '/ssd' });
    assert.deepEqual(recipeOf(training).places, { models: path.resolve('models'), cache: '/ssd' });
    assert.deepEqual(
      servingPlaces(training),
      { models: path.resolve('models') },
      'embeddings of questions are not kept',
    );
  });

  it('is a program, given as words or as a JSON array, with a time limit', () => {
    const day = 24 * 60 * 60 * 1000;
    assert.deepEqual(of({ SAMVAD_TRAINER_COMMAND: ' python3  finetune.py --epochs 3 ' }).program, {
      command: ['python3', 'finetune.py', '--epochs', '3'],
      timeoutMs: day,
    });
    assert.deepEqual(
      of({ SAMVAD_TRAINER_COMMAND: '["python3", "my \\"own\\".py"]', SAMVAD_TRAINER_SECONDS: '90' }).program,
      {
        command: ['python3', 'my "own".py'],
        timeoutMs: 90_000,
      },
    );
  });

  it('is what the command line says, which overrides the environment', () => {
    const env = { SAMVAD_ENCODER: 'indicbert', SAMVAD_TRAINER_SECONDS: '90' };
    assert.deepEqual(of(env, { command: 'train' }).program, { command: ['train'], timeoutMs: 90_000 });
    assert.deepEqual(of(env, { command: 'train' }).options, {});
    const { program, options } = of({ SAMVAD_TRAINER_COMMAND: 'train' }, { encoder: 'other' });
    assert.deepEqual([program, options.encoder?.kind], [undefined, 'transformer']);
  });

  it('gives a program the environment without credentials of the servers', () => {
    const kept = { PATH: '/bin', SAMVAD_HOME: '/home', CUDA_VISIBLE_DEVICES: '0', HF_TOKEN: 'of the program' };
    const left = {
      ...{ DATABASE_URL: 'x', KAFKA_BROKERS: 'x', KAFKA_SASL_PASSWORD: 'x', SCHEMA_REGISTRY_URL: 'x' },
      ...{ SAMVAD_API_TOKENS: 'x', LABEL_STUDIO_API_KEY: 'x', LABEL_STUDIO_WEBHOOK_SECRET: 'x' },
    };
    assert.deepEqual(programEnvironment({ ...kept, ...left }), kept);
  });

  const wrong: readonly (readonly [NodeJS.ProcessEnv, object, RegExp])[] = [
    [{ SAMVAD_TRAINER_COMMAND: "python3 'my trainer.py'" }, {}, /SAMVAD_TRAINER_COMMAND is .*JSON array/],
    [{ SAMVAD_TRAINER_COMMAND: '["python3", 3]' }, {}, /JSON array such as/],
    [{ SAMVAD_TRAINER_COMMAND: '["python3"' }, {}, /JSON array such as/],
    [{ SAMVAD_TRAINER_COMMAND: '[]' }, {}, /JSON array such as/],
    [{}, { command: ' ' }, /--command is " ";/],
    [{ SAMVAD_TRAINER_COMMAND: 'a', SAMVAD_ENCODER: 'b' }, {}, /both set.*Set one of them/],
    [{}, { command: 'a', encoder: 'b' }, /--command and --encoder are both set/],
    [{ SAMVAD_TRAINER_SECONDS: '0' }, {}, /SAMVAD_TRAINER_SECONDS is 0/],
    [{ SAMVAD_TRAINER_SECONDS: '2000001' }, {}, /at most 2000000/],
    [{ SAMVAD_ENCODER: '../secrets' }, {}, /SAMVAD_ENCODER is \.\.\/secrets; it must be the name of a folder/],
    [{ SAMVAD_ENCODER: 'a/b@main' }, {}, /40 digits of the commit/],
    [{ SAMVAD_ENCODER: 'a', SAMVAD_ENCODER_POOLING: 'max' }, {}, /may be mean or cls/],
  ];
  for (const [env, choice, reason] of wrong)
    it(`refuses ${JSON.stringify({ ...env, ...choice })}`, () => assert.throws(() => of(env, choice), reason));
});
