import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Admin } from 'kafkajs';
import { startComponents } from '../../app/components.ts';
import type { RunningComponents } from '../../app/components.ts';
import { producerOptions } from '../../app/environment.ts';
import { startHttp } from '../../app/http.ts';
import type { RunningHttp } from '../../app/http.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { childrenOf, readProc } from '../../bench/processes.ts';
import { readConfig } from '../../config.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { kafkajsClient } from '../../runtime/kafka-clients.ts';
import type { RunStanding } from '../../schemas/types.ts';
import { tokens } from '../../trainer/learning/hashed-ngrams.ts';
import { openModelLog } from '../../trainer/model-log.ts';
import type { ModelLogPort } from '../../trainer/model-log.ts';
import type { StoredReport } from '../../trainer/run-report.ts';
import { conversation, review } from '../fixtures.ts';
import { samples } from '../trainer/samples.ts';
import { writeTinyEncoder } from '../trainer/tiny-encoder.ts';
import { startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const root = path.join(import.meta.dirname, '..', '..');
const script = path.join(root, 'test', 'trainer', 'external-trainer.ts');
/** The external trainer of the tests, as a value for the environment. */
const command = (mode: string) =>
  JSON.stringify([process.execPath, '--import', import.meta.resolve('tsx'), script, mode]);
const rows = samples(40).map((row, i) => ({ ...row, text: `${row.text} ${i % 7}` }));

describe('an encoder and a trainer of the user, on real servers', () => {
  let stack: Stack;
  let log: ModelLogPort;
  let pipeline: RunningComponents;
  let http: RunningHttp;
  let data: string;
  let admin: Admin;

  /** Runs a command and returns its output; `env` holds settings in addition to those of the servers. */
  async function samvad(args: readonly string[], env: Record<string, string> = {}) {
    const cli = [path.join(root, 'bin', 'samvad.js'), ...args];
    const options = { env: { ...process.env, ...stack.env, ...env } };
    try {
      return { code: 0, ...(await promisify(execFile)(process.execPath, cli, options)) };
    } catch (error) {
      return error as { code: number; stdout: string; stderr: string };
    }
  }

  /** Runs `samvad train --from-scratch`. */
  async function train(env: Record<string, string>): Promise<RunStanding & { readonly code: number }> {
    const { code, stdout, stderr } = await samvad(['train', '--from-scratch', '--json'], env);
    assert.match(stdout, /^{/, stderr);
    return { code, ...(JSON.parse(stdout) as RunStanding) };
  }

  const members = async () => (await admin.describeGroups(['trainer'])).groups[0]?.members.length;

  /** Makes it look as if the last trainer left long ago, so that no command waits for it to come back. */
  const forgetTrainers = () => admin.deleteGroups(['trainer']);

  /** Gives `version` all traffic, and waits until it answers a text with its right label. */
  async function serves(version: string) {
    const promoted = await samvad(['promote', version, '--json']);
    assert.deepEqual(JSON.parse(promoted.stdout), { production: version, canary: null });
    for (const end = Date.now() + 30_000; ; await sleep(50)) {
      const response = await fetch(`${http.url}/v1/classify`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ text: 'cancel my order', language: 'en' }),
      });
      const answer = (await response.json()) as Record<string, unknown>;
      if (answer['version'] === version) {
        assert.deepEqual([answer['module'], answer['intent']], ['food', 'cancel_order']);
        return;
      }
      assert.ok(Date.now() < end, JSON.stringify(answer));
    }
  }

  before(async () => {
    stack = await startStack();
    const { prepared } = stack;
    log = await openModelLog(prepared.servers.kafka, prepared.codecs);
    admin = kafkajsClient(prepared.servers.kafka, 'test').admin();
    await admin.connect();
    pipeline = await startComponents(['pipeline'], prepared);
    const config = { ...prepared.config, http: { host: '127.0.0.1', port: 0 } };
    http = await startHttp({ ...prepared, config }, pipeline);
    const producer = await createConversationProducer(producerOptions(prepared));
    for (const [i, { text, intent, module, language }] of rows.entries()) {
      const of = { user_message: text, language, nlu_intent: intent, nlu_module: module, nlu_confidence: 0.8 };
      const conversation_id = `own-${i}`;
      await producer.send({ kind: 'conversation', record: conversation({ ...of, conversation_id, entities: [] }) });
      await producer.send({ kind: 'review', record: review({ conversation_id }) });
    }
    await producer.close();
    await untilCaughtUp(prepared.servers, prepared.pool);
    data = path.join(stack.home, 'data.jsonl');
    await writeFile(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const words = [...new Set(rows.flatMap(({ text }) => tokens(text)))];
    await writeTinyEncoder(path.join(prepared.config.training.encoders, 'tiny'), words);
  });
  after(async () => {
    await http.stop();
    await pipeline.stop();
    await admin.disconnect();
    await log.close();
    await stack.stop();
  });

  it('the trainer lets the configured program make a version, which is then served', async () => {
    const { prepared } = stack;
    const { training } = readConfig({ ...stack.env, SAMVAD_TRAINER_COMMAND: command('good') });
    const config = { ...prepared.config, training: { ...training, threshold: rows.length } };
    const trainer = await startComponents(['trainer'], { ...prepared, config });
    const id = `default-${rows.length}`;
    let run: RunStanding | undefined;
    for (const end = Date.now() + 120_000; run?.status !== 'finished'; await sleep(200)) {
      run = (await log.read()).runs.get(id);
      assert.ok(Date.now() < end && run?.status !== 'failed', JSON.stringify(run));
    }
    await trainer.stop();
    assert.equal(run.version, 'router-v1.1.0');
    const standing = (await log.read()).models.get('router-v1.1.0')?.standing;
    assert.equal(standing?.training_samples, rows.length);
    assert.ok((standing.test_accuracy ?? 0) > 0.7, String(standing.test_accuracy));
    await serves('router-v1.1.0');
    const report = await fetch(`${http.url}/v1/models/router-v1.1.0/report`);
    const { made } = (await report.json()) as StoredReport;
    assert.deepEqual(made, { encoder: { kind: 'tokens', maxLength: 32 }, external: { by: 'test' } });
  });

  it('a run records why the program failed, and the next one succeeds with a sentence encoder', async () => {
    const failures: readonly (readonly [Record<string, string>, RegExp])[] = [
      [{ SAMVAD_TRAINER_COMMAND: command('fails') }, /failed with code 3\. It said:\nloading\nno GPU here/],
      [{ SAMVAD_TRAINER_COMMAND: command('foreign') }, /is refused\. The file is not a whole ONNX model/],
      [{ SAMVAD_ENCODER: 'nowhere' }, /There is no encoder in .*nowhere/],
    ];
    for (const [i, [env, reason]] of failures.entries()) {
      const asked = train(env);
      if (i === 0) {
        // A trainer has just left and may come back, so the command waits.
        const waits = async () => [...(await log.read()).runs.values()].some(({ status }) => status === 'requested');
        for (const end = Date.now() + 30_000; !(await waits()); await sleep(50)) assert.ok(Date.now() < end);
        for (let looks = 0; looks < 10; looks++, await sleep(200))
          assert.deepEqual([await members(), await waits()], [0, true]);
        await forgetTrainers();
      }
      const run = await asked;
      await forgetTrainers();
      assert.deepEqual([run.status, run.version], ['failed', null]);
      assert.match(run.failure ?? '', reason);
    }
    const run = await train({ SAMVAD_ENCODER: 'tiny' });
    assert.deepEqual([run.status, run.version, run.failure, run.code], ['finished', 'router-v1.2.0', null, 0]);
    await serves('router-v1.2.0');
  });

  it('a requested run is executed by a running trainer, and by the command once there is none', async () => {
    const { prepared } = stack;
    const { training } = readConfig({ ...stack.env, SAMVAD_TRAINER_COMMAND: command('hangs') });
    const config = { ...prepared.config, training: { ...training, threshold: 1_000_000 } };
    const trainer = await startComponents(['trainer'], { ...prepared, config });
    while ((await members()) !== 1) await sleep(100);
    const asked = train({ SAMVAD_TRAINER_COMMAND: command('fails') });
    for (let running = 0; running < 20; await sleep(200)) {
      if ([...(await log.read()).runs.values()].some(({ status }) => status === 'running')) running++;
      assert.equal(await members(), 1);
    }
    await trainer.stop();
    await forgetTrainers();
    const { status, failure } = await asked;
    assert.equal(status, 'failed');
    assert.match(failure ?? '', /failed with code 3/);
  });

  it('the program ends with its run, also when the process of the run is killed', async () => {
    await forgetTrainers();
    const asked = train({ SAMVAD_TRAINER_COMMAND: command('hangs') });
    const below = async (pid: number | string, words: string): Promise<string> => {
      for (const end = Date.now() + 60_000; ; await sleep(50)) {
        const children = await childrenOf(Number(pid));
        for (const child of children) if ((await readProc(`/proc/${child}/cmdline`)).includes(words)) return child;
        assert.ok(Date.now() < end, `no ${words}`);
      }
    };
    const cli = await below(process.pid, 'samvad.js');
    const runProcess = await below(cli, 'run-process-main');
    const program = await below(runProcess, 'external-trainer');
    const worker = await below(program, 'setTimeout');
    process.kill(Number(runProcess), 'SIGKILL');
    for (const pid of [program, worker])
      for (const end = Date.now() + 20_000; !/^$|\) Z /.test(await readProc(`/proc/${pid}/stat`)); await sleep(20))
        assert.ok(Date.now() < end, `${pid} still runs`);
    // The run was resumed meanwhile, and is cancelled now.
    await below(await below(cli, 'run-process-main'), 'external-trainer');
    const open = [...(await log.read()).runs].find(([, { status }]) => status === 'running');
    assert.equal((await samvad(['train', '--cancel', open?.[0] ?? ''])).code, 0);
    const { status, code } = await asked;
    assert.deepEqual([status, code], ['cancelled', 1]);
  });

  it('train-router and models register make versions from files, compared with production', async () => {
    const model = path.join(stack.home, 'own.onnx');
    const registered = await samvad(
      ['train-router', data, '--command', command('good'), '--output', model, '--register', '--json'],
      { SAMVAD_ENCODER: 'tiny' }, // the command line overrides it
    );
    assert.equal(registered.code, 0, registered.stderr);
    const first = JSON.parse(registered.stdout) as StoredReport;
    assert.deepEqual([first.version, first.comparedWith], ['router-v1.3.0', 'router-v1.2.0']);
    const taken = await samvad(['models', 'register', model, '--data', data]);
    assert.equal(taken.code, 0, taken.stderr);
    assert.match(taken.stdout, /^Tested on \d+ texts .*The version is router-v1\.4\.0: /s);
    await serves('router-v1.4.0');
    const { models } = await log.read();
    assert.equal(
      models.get('router-v1.4.0')?.standing.artifact_sha256,
      models.get('router-v1.3.0')?.standing.artifact_sha256,
    );

    await writeFile(model, (await readFile(model)).subarray(0, 1000));
    const refused = await samvad(['models', 'register', model, '--data', data]);
    assert.deepEqual([refused.code, refused.stdout], [1, '']);
    assert.match(refused.stderr, /^The file is not a whole ONNX model/);
    const encoded = await samvad(['train-router', data, '--encoder', 'tiny', '--epochs', '2', '--register', '--json']);
    assert.equal(encoded.code, 0, encoded.stderr);
    const second = JSON.parse(encoded.stdout) as StoredReport;
    assert.deepEqual([second.version, second.made.encoder['model']], ['router-v1.5.0', 'tiny']);
  });
});
