/** What works with the log alone while Postgres is away: a training run, commands on models, and classification. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { startComponents } from '../../app/components.ts';
import { artifactsOf } from '../../app/environment.ts';
import { startHttp } from '../../app/http.ts';
import { standBy } from '../../app/stand-by.ts';
import { blankStanding, deploymentOf, register, setTraffic } from '../../policy/model-log.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { requestRun } from '../../policy/training-run.ts';
import { sendPolicy } from '../../producers/policies.ts';
import { fencedWrite } from '../../runtime/fenced-write.ts';
import { topicEnds } from '../../runtime/read-topic.ts';
import { topics } from '../../topology.ts';
import { readPolicyInForce } from '../../trainer/adopted-policy.ts';
import { writeModel } from '../../trainer/learning/onnx-writer.ts';
import { train } from '../../trainer/learning/train.ts';
import { openModelLog } from '../../trainer/model-log.ts';
import type { ModelLogPort } from '../../trainer/model-log.ts';
import { executeInProcess } from '../../trainer/run-process.ts';
import { sample } from '../fixtures.ts';
import { quick, samples } from '../trainer/samples.ts';
import { endAll, startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const [V1, V2] = ['router-v1.1.0', 'router-v1.2.0'] as const;
const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
const act = { by: 'test', reason: 'a test', at: Date.UTC(2026, 10, 1) };
const strict = { ...defaultPolicy, version: 'routing-v2', thresholds: { trust: 0.95, doubt: 0.8 } };
const rows = samples(30);

describe('while Postgres is away', { timeout: 300_000 }, () => {
  let stack: Stack;
  let log: ModelLogPort;
  let env: NodeJS.ProcessEnv;
  const run = async (...args: string[]) =>
    (await promisify(execFile)(process.execPath, [bin, ...args], { env })).stdout;
  const ask = async (id: string) => {
    const watermark = await topicEnds(stack.prepared.servers.kafka, topics.trainingSamples.name);
    const request = {
      id,
      approvals: rows.length,
      dataSet: 'default',
      trigger: 'manual',
      watermark,
      atLeast: 0,
    } as const;
    await log.append((now) => requestRun(now, request, act));
  };

  before(async () => {
    stack = await startStack();
    env = { ...process.env, ...stack.env };
    const { servers, codecs, config } = stack.prepared;
    const intake = await startComponents(['intake'], stack.prepared);
    await sendPolicy(servers.kafka, codecs, { policy: strict, adopted_by: 'asha', reason: 'fewer wrong labels' });
    for (let i = 0; (await readPolicyInForce(servers.kafka, codecs)).version !== strict.version; i++) {
      assert.ok(i < 200, 'the policy was not adopted');
      await sleep(100);
    }
    await intake.stop();

    const { classifier, views, encoder } = await train({ train: rows, dev: [], options: quick });
    const artifact_sha256 = await artifactsOf(config).put(
      writeModel(classifier, views, { encoder, manifest: null, training: null }),
    );
    log = await openModelLog(servers.kafka, codecs);
    for (const version of [V1, V2]) {
      const standing = { ...blankStanding(act.at), artifact_sha256 };
      await log.append((now) => ({ models: register(now, version, standing, act) }));
      await log.append((now) => ({ models: setTraffic(now, version, 100, act) }));
    }
    const codec = codecs.of(topics.trainingSamples);
    await fencedWrite(servers.kafka, 'test-samples', () =>
      Promise.resolve(
        rows.map(({ text, language, intent, module }, i) => {
          const conversation_id = `c-${i}`;
          const approved = sample({ conversation_id, text: `${text} ${i}`, language, intent, module });
          const value = codec.encode({ conversation_id, approved, withdrawn: null, erased_at: null });
          return { topic: topics.trainingSamples.name, key: conversation_id, value, timestamp: act.at };
        }),
      ),
    );
    stack.platform.kill('postgres', 'SIGQUIT');
    while (
      await stack.prepared.pool.query('SELECT 1').then(
        () => true,
        () => false,
      )
    )
      await sleep(50);
  });
  after(() =>
    endAll(
      () => log.close(),
      () => stack.stop(),
    ),
  );

  it('a training run finishes', async () => {
    const { servers, config } = stack.prepared;
    await ask('default-by-hand');
    const order = { id: 'default-by-hand', servers, training: config.training, trainer: 'test' };
    const dataSets = path.join(stack.home, 'data-sets');
    const done = await executeInProcess({ ...order, dataSets }, new AbortController().signal);
    assert.deepEqual([done?.status, done?.attempt, done?.failure], ['finished', 1, null]);
  });

  it('versions are shown, promoted and rolled back, a run is cancelled, and samples are exported', async () => {
    assert.match(await run('models'), /router-v1\.2\.0 .*production/);
    assert.match(await run('rollback', '--reason', 'complaints'), /^router-v1\.1\.0 is in production/);
    assert.match(await run('promote', V2, '--traffic', '10'), /router-v1\.2\.0 is on trial with 10 %/);
    assert.deepEqual(deploymentOf(await log.read()).production, V1);
    await ask('default-other');
    assert.match(await run('train', '--cancel', 'default-other'), /default-other is cancelled/);
    const output = path.join(stack.home, 'samples.jsonl');
    await run('export', '-o', output);
    assert.equal((await readFile(output, 'utf8')).split('\n').length - 1, rows.length);
    const manifest = path.join(stack.home, 'longer.manifest.json');
    await writeFile(manifest, JSON.stringify({ format: 'samvad-data-set-1', filters: {}, offsets: { 0: [0, 9999] } }));
    await assert.rejects(
      run('export', '-o', output, '--manifest', manifest),
      /to offset 9999 of partition 0, and the log/,
    );
  });

  it('dead letters are listed, and another policy is tried, without its address too', async () => {
    env = { ...env, DATABASE_URL: '' };
    assert.match(await run('dead-letters', 'list'), /There are none/);
    const file = path.join(stack.home, 'policy.json');
    await writeFile(file, JSON.stringify(strict));
    assert.match(await run('replay', '--policy', file), /^0 conversations, routed by routing-v2 instead/);
  });

  for (const [what, databaseUrl] of [
    ['with its address', {}],
    ['without its address', { DATABASE_URL: '' }],
  ] as const)
    it(`a processor that starts ${what} is ready`, async () => {
      const settings = { ...process.env, ...stack.env, ...databaseUrl, SAMVAD_HEALTH_PORT: '0' };
      const child = spawn(process.execPath, [bin, 'run', 'intake'], {
        env: settings,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let output = '';
      child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
      const ended = once(child, 'close');
      try {
        let answer: { status?: string; parts?: Record<string, string> } = {};
        for (const deadline = Date.now() + 60_000; answer.status !== 'ok'; await sleep(50)) {
          assert.ok(child.exitCode === null && Date.now() < deadline, `${output}\n${JSON.stringify(answer)}`);
          const [, url] = /Health on (\S+)\.\n/.exec(output) ?? [];
          if (url !== undefined) answer = (await (await fetch(url)).json()) as typeof answer;
        }
        assert.deepEqual(answer.parts, { kafka: 'ok', 'schema-registry': 'ok', intake: 'ok' });
      } finally {
        child.kill('SIGTERM');
      }
      assert.deepEqual(await ended, [0, null], output);
    });

  it('a new process classifies texts, by the policy in force', async () => {
    const { servers, config } = stack.prepared;
    const http = { ...config.http, host: '127.0.0.1', port: 0 };
    const ground = standBy({ config: { ...config, http }, servers, stop: () => Promise.resolve() });
    const components = await startComponents([], ground);
    const server = await startHttp(ground, components);
    try {
      for (const deadline = Date.now() + 60_000; ; await sleep(50)) {
        const response = await fetch(`${server.url}/v1/classify`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ text: 'cancel my order', conversation_id: 'c-1' }),
        });
        const body = (await response.json()) as Record<string, unknown>;
        if (response.status === 200) {
          assert.deepEqual([body['intent'], body['policy_version']], ['cancel_order', strict.version]);
          break;
        }
        assert.equal(response.status, 503);
        assert.ok(Date.now() < deadline, JSON.stringify(body));
      }
      const status = await fetch(`${server.url}/v1/status`);
      assert.equal(status.status, 503);
      assert.match(((await status.json()) as { detail: string }).detail, /^It waits for the tables: /);
    } finally {
      await server.stop();
      await components.stop();
      await ground.stop();
    }
  });
});
