import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readProc } from '../../bench/processes.ts';
import { trainExternally } from '../../trainer/external.ts';
import type { ExternalControl } from '../../trainer/external.ts';
import { loadModel } from '../../trainer/learning/model.ts';
import { readClassifier } from '../../trainer/learning/onnx-classifier.ts';
import { checkModel, ModelRefused } from '../../trainer/learning/onnx-reader.ts';
import { TrainingError } from '../../trainer/learning/train.ts';
import { samples } from './samples.ts';

let folder: string;
const script = fileURLToPath(new URL('./external-trainer.ts', import.meta.url));
const run = (mode: string, control: ExternalControl = {}, timeoutMs = 30_000) =>
  trainExternally(
    {
      program: { command: [process.execPath, '--import', 'tsx', script, mode], timeoutMs },
      train: samples(20),
      dev: samples(4, 2),
      manifest: { sha256: 'abc', none: undefined },
      folder,
      places: {},
    },
    control,
  );

/** Whether a process exists and is not a zombie. */
async function lives(pid: string): Promise<boolean> {
  const stat = await readProc(`/proc/${pid}/stat`);
  return stat !== '' && !/\) Z /.test(stat);
}

describe('trainExternally', () => {
  let home: string;
  before(async () => {
    home = await mkdtemp(path.join(os.tmpdir(), 'samvad-external-'));
    folder = path.join(home, 'data-sets');
  });
  after(async () => {
    await rm(home, { recursive: true, force: true });
  });

  it('runs a command from JSONL to an ONNX file with its own graph and tokenizer, which is then served', async () => {
    const groups: (number | undefined)[] = [];
    const bytes = await run('good', { onGroup: (group) => groups.push(group) });
    const model = await loadModel(bytes);
    const test = samples(10, 5);
    const answers = await model.classify(test.map(({ text }) => text));
    const right = test.filter((row, i) => answers[i]?.intent === row.intent).length;
    assert.ok(right / test.length > 0.8, `${right} of ${test.length}`);
    assert.deepEqual(model.metadata.manifest, { sha256: 'abc' });
    assert.throws(() => readClassifier(checkModel(bytes), []), /external trainer.*not trained further/);
    await model.close();
    assert.deepEqual([typeof groups[0], groups[1]], ['number', undefined]);
  });

  it('reports how the command failed, and leaves no files behind', async () => {
    const lines: string[] = [];
    await assert.rejects(run('fails', { onLine: (line) => lines.push(line) }), /failed with code 3.*no GPU here/s);
    assert.deepEqual(lines, ['loading', 'no GPU here']);
    await assert.rejects(run('silent'), /succeeded, but its file can't be read: ENOENT/);
    await assert.rejects(run('foreign'), /from .*node is refused\. The file is not a whole ONNX model/);
    await assert.rejects(run('scores'), /is refused\. Its answers are not probabilities/);
    await assert.rejects(run('forgets'), /does not know all intents of the training rows, such as food\/track_order/);
    await assert.rejects(run('old'), /was trained on other data/);
    const program = { command: ['/no/such/program'], timeoutMs: 1000 } as const;
    await assert.rejects(
      trainExternally({ program, train: [], dev: [], manifest: {}, folder, places: {} }),
      /can't be started/,
    );
    assert.deepEqual(await readdir(folder), []);
  });

  it('makes a model that refuses a text for which its file gives no number', async () => {
    const model = await loadModel(await run('nan'));
    await assert.rejects(
      model.classify(['cancel my order', 'cancel my pqxz']),
      (error) => error instanceof ModelRefused && /for one text it gives NaN/.test(error.message),
    );
    await model.close();
  });

  it('keeps its files in the folder of data sets, and names that folder when its disk is full', async () => {
    const code = 'console.error(process.argv[process.argv.indexOf("--train") + 1]); process.exit(3)';
    const program = { command: [process.execPath, '-e', code, '--'], timeoutMs: 10_000 } as const;
    const given = { program, train: samples(20), dev: [], manifest: {}, places: {} };
    await assert.rejects(trainExternally({ ...given, folder }), (error: Error) =>
      error.message.includes(`It said:\n${folder}${path.sep}`),
    );
    const file = path.join(home, 'file');
    await writeFile(file, '');
    await assert.rejects(
      trainExternally({ ...given, folder: file }),
      (error) => error instanceof TrainingError && error.message.startsWith(`A data set can't be kept in ${file}: `),
    );
    // As in data-set.test.ts: a limit on the size of files in place of a full disk.
    const url = new URL('../../trainer/external.ts', import.meta.url).href;
    const train = `Array(20).fill({ text: 'x'.repeat(2 ** 20) })`;
    const big = `const { trainExternally } = await import('${url}');
      const program = { command: ['true'], timeoutMs: 1000 };
      const given = { program, train: ${train}, dev: [], manifest: {}, folder: ${JSON.stringify(folder)}, places: {} };
      await trainExternally(given).catch((error) => console.log(error.name, error.message));`;
    const shell = `trap '' XFSZ; ulimit -f 8000; exec "$0" --import tsx --input-type=module -e "$1"`;
    const { stdout } = await promisify(execFile)('sh', ['-c', shell, process.execPath, big]);
    assert.match(stdout, /^TrainingError A data set can't be kept in .*data-sets: .*Make room there/);
    assert.deepEqual(await readdir(folder), []);
  });

  it('starts the command without the credentials of the servers', async () => {
    const secret = { DATABASE_URL: 'postgres://secret', KAFKA_SASL_PASSWORD: 'secret', LABEL_STUDIO_API_KEY: 'secret' };
    Object.assign(process.env, secret, { SAMVAD_TEST_OF_PROGRAM: 'here' });
    try {
      const code =
        'console.error(Object.entries(process.env).map((one) => one.join("=")).join("\\n")); process.exit(3)';
      const said: string[] = [];
      const program = { command: [process.execPath, '-e', code, '--'], timeoutMs: 10_000 } as const;
      const given = { program, train: [], dev: [], manifest: {}, folder, places: {} };
      await assert.rejects(trainExternally(given, { onLine: (line) => said.push(line) }), /failed with code 3/);
      assert.ok(said.includes('SAMVAD_TEST_OF_PROGRAM=here'));
      assert.deepEqual(
        said.filter((line) => line.includes('secret')),
        [],
      );
    } finally {
      for (const name of [...Object.keys(secret), 'SAMVAD_TEST_OF_PROGRAM']) Reflect.deleteProperty(process.env, name);
    }
  });

  it('ends the command and its child processes when it takes too long or is aborted', async () => {
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
