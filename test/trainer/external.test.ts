import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { trainExternally } from '../../trainer/external.ts';
import type { ExternalTraining } from '../../trainer/external.ts';
import { loadModel } from '../../trainer/model.ts';
import { readClassifier } from '../../trainer/onnx-classifier.ts';
import { samples } from './samples.ts';

const script = fileURLToPath(new URL('./external-trainer.ts', import.meta.url));
let home: string;
let runs = 0;
before(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), 'samvad-external-'));
});
after(async () => {
  await rm(home, { recursive: true, force: true });
});
const training = (mode: string, more: Partial<ExternalTraining> = {}): ExternalTraining => ({
  command: [process.execPath, '--import', 'tsx', script, mode],
  train: samples(20),
  dev: samples(4, 2),
  manifest: { sha256: 'abc' },
  folder: path.join(home, String(runs++)),
  timeoutMs: 30_000,
  ...more,
});

/** Whether a process runs; one that has ended and that nobody has asked about does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('trainExternally', () => {
  it('runs a command from JSONL to an ONNX file with its own graph and tokenizer, which is then served', async () => {
    const model = await loadModel(await trainExternally(training('good')));
    const test = samples(10, 5);
    const answers = await model.classify(test.map(({ text }) => text));
    const right = test.filter((row, i) => answers[i]?.intent === row.intent).length;
    assert.ok(right / test.length > 0.8, `${right} of ${test.length}`);
    assert.deepEqual(model.metadata.manifest, { sha256: 'abc' });
    assert.throws(() => readClassifier(model.file, []), /external trainer.*not trained further/);
    await model.close();
  });
  it('tells how it failed', async () => {
    const lines: string[] = [];
    await assert.rejects(
      trainExternally(training('fails', { onLine: (line) => lines.push(line) })),
      /failed with code 3.*no GPU here/s,
    );
    assert.deepEqual(lines, ['loading', 'no GPU here']);
    await assert.rejects(trainExternally(training('silent')), /left no file/);
    await assert.rejects(trainExternally(training('forgets')), /does not know 1 of the intents/);
    await assert.rejects(trainExternally(training('good', { command: ['/no/such/program'] })), /can't be started/);
  });
  it('ends it when it takes too long or is aborted', async () => {
    await assert.rejects(trainExternally(training('hangs', { timeoutMs: 300 })), /still running after 0.3 s/);
    const signal = AbortSignal.abort(new Error('enough'));
    await assert.rejects(trainExternally(training('hangs', { signal })), /enough/);
  });
  for (const [how, more, pattern] of [
    ['when it takes too long', { timeoutMs: 3000 }, /still running after 3 s/],
    ['when it is aborted', { signal: AbortSignal.timeout(60_000) }, /enough/],
  ] as const)
    it(`ends what it has started too, ${how}`, async () => {
      const stop = new AbortController();
      let worker = 0;
      const onLine = (line: string) => {
        worker = Number(/^worker (\d+)$/.exec(line)?.[1] ?? worker);
        if ('signal' in more && worker > 0) stop.abort(new Error('enough'));
      };
      const end = { ...more, ...('signal' in more && { signal: stop.signal }) };
      await assert.rejects(trainExternally(training('forks', { ...end, onLine })), pattern);
      assert.ok(worker > 0, 'it had started one');
      try {
        for (let i = 0; isAlive(worker); i++) {
          assert.ok(i < 100, `${worker} runs on`);
          await sleep(20);
        }
      } finally {
        if (isAlive(worker)) process.kill(worker, 'SIGKILL');
      }
    });
});
