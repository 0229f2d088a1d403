import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readProc } from '../../bench/processes.ts';
import { trainExternally } from '../../trainer/external.ts';
import type { ExternalControl } from '../../trainer/external.ts';
import { loadModel } from '../../trainer/model.ts';
import { readClassifier } from '../../trainer/onnx-classifier.ts';
import { samples } from './samples.ts';

const script = fileURLToPath(new URL('./external-trainer.ts', import.meta.url));
const run = (mode: string, control: ExternalControl = {}, timeoutMs = 30_000) =>
  trainExternally(
    {
      program: { command: [process.execPath, '--import', 'tsx', script, mode], timeoutMs },
      train: samples(20),
      dev: samples(4, 2),
      manifest: { sha256: 'abc', none: undefined },
    },
    control,
  );

/** Whether a process is there and not only waits for its parent to ask how it ended. */
async function lives(pid: string): Promise<boolean> {
  const stat = await readProc(`/proc/${pid}/stat`);
  return stat !== '' && !/\) Z /.test(stat);
}

describe('trainExternally', () => {
  let home: string;
  before(async () => {
    home = await mkdtemp(path.join(os.tmpdir(), 'samvad-external-'));
    process.env['TMPDIR'] = home; // other tests have files in that of the system
  });
  after(async () => {
    delete process.env['TMPDIR'];
    await rm(home, { recursive: true, force: true });
  });

  it('runs a command from JSONL to an ONNX file with its own graph and tokenizer, which is then served', async () => {
    const groups: (number | undefined)[] = [];
    const model = await loadModel(await run('good', { onGroup: (group) => groups.push(group) }));
    const test = samples(10, 5);
    const answers = await model.classify(test.map(({ text }) => text));
    const right = test.filter((row, i) => answers[i]?.intent === row.intent).length;
    assert.ok(right / test.length > 0.8, `${right} of ${test.length}`);
    assert.deepEqual(model.metadata.manifest, { sha256: 'abc' });
    assert.throws(() => readClassifier(model.file, []), /external trainer.*not trained further/);
    await model.close();
    assert.deepEqual([typeof groups[0], groups[1]], ['number', undefined]);
  });

  it('tells how it failed, and leaves no files behind', async () => {
    const lines: string[] = [];
    await assert.rejects(run('fails', { onLine: (line) => lines.push(line) }), /failed with code 3.*no GPU here/s);
    assert.deepEqual(lines, ['loading', 'no GPU here']);
    await assert.rejects(run('silent'), /ended well, but its file can't be read: ENOENT/);
    await assert.rejects(run('foreign'), /that .*node has made is refused\. The file is not a whole ONNX model/);
    await assert.rejects(run('scores'), /made is refused\. Its answers are no probabilities/);
    await assert.rejects(run('forgets'), /does not know all intents of the training rows, such as food\/track_order/);
    await assert.rejects(run('old'), /made is of other data/);
    const program = { command: ['/no/such/program'], timeoutMs: 1000 } as const;
    await assert.rejects(trainExternally({ program, train: [], dev: [], manifest: {} }), /can't be started/);
    assert.deepEqual(
      (await readdir(home)).filter((name) => name.startsWith('samvad-')),
      [],
    );
  });

  it('ends it with its workers when it takes too long or is aborted', async () => {
    const workers: string[] = [];
    const onLine = (line: string) => workers.push(line.replace('worker ', ''));
    await assert.rejects(run('hangs', { onLine }, 3000), /still running after 3 s.*It said:\nworker/s);
    const stop = new AbortController();
    const stopped = run('hangs', {
      signal: stop.signal,
      onLine(line) {
        onLine(line);
        stop.abort(new Error('enough'));
      },
    });
    await assert.rejects(stopped, /enough/);
    assert.equal(workers.length, 2);
    for (const end = Date.now() + 5000; (await Promise.all(workers.map(lives))).includes(true); await sleep(20))
      assert.ok(Date.now() < end, 'a worker is left');
    await assert.rejects(run('good', { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
  });
});
