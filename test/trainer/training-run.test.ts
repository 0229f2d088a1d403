import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { blankStanding, emptyLog, firstModel, register, rollBack, setTraffic } from '../../policy/model-log.ts';
import { defaultPromotionPolicy } from '../../policy/promotion.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { cancelRun, MAX_ATTEMPTS, requestRun, resumeRun, startRun } from '../../policy/training-run.ts';
import { runAt } from '../../policy/trigger.ts';
import { Transient } from '../../runtime/rdkafka.ts';
import type { ModelStanding } from '../../schemas/types.ts';
import { ArtifactError, openArtifactFolder } from '../../trainer/artifacts.ts';
import type { ArtifactStore } from '../../trainer/artifacts.ts';
import type { PlacedSample } from '../../trainer/data-set/sample-table.ts';
import { OUT_OF_SCOPE } from '../../trainer/learning/classifier.ts';
import { EmbeddingCache } from '../../trainer/learning/embedding-cache.ts';
import { tokens } from '../../trainer/learning/hashed-ngrams.ts';
import { makeModelFile } from '../../trainer/learning/model-file.ts';
import { split } from '../../trainer/learning/split.ts';
import type { Sample } from '../../trainer/learning/split.ts';
import { train } from '../../trainer/learning/train.ts';
import { registerModel } from '../../trainer/register.ts';
import { reportOn } from '../../trainer/run-report.ts';
import type { StoredReport } from '../../trainer/run-report.ts';
import { executeRun } from '../../trainer/training-run.ts';
import type { RunPorts } from '../../trainer/training-run.ts';
import { sample } from '../fixtures.ts';
import { memoryModelLog } from './memory-model-log.ts';
import type { MemoryModelLog } from './memory-model-log.ts';
import { quick, samples } from './samples.ts';
import { writeTinyEncoder } from './tiny-encoder.ts';

let home: string;
let folders = 0;
before(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), 'samvad-runs-'));
});
after(async () => {
  await rm(home, { recursive: true, force: true });
});

/** Rows as the log of training-samples, in one partition; a number is added to each text so that few are duplicates. */
async function* logOf(
  rows: readonly (Sample & { readonly version?: string })[],
  upTo: ReadonlyMap<number, number>,
): AsyncGenerator<PlacedSample> {
  for (const [offset, row] of rows.slice(0, upTo.get(0)).entries()) {
    await Promise.resolve();
    const conversation_id = `c-${String(offset).padStart(6, '0')}`;
    const { language, intent, module, source, version = null, reviewPropensity = null } = row;
    const approved = sample({
      ...{ conversation_id, language, intent, module, source, captured_at: offset, approved_at: offset },
      text: row.text === '' ? '' : `${row.text} ${offset % 97}`,
      reviewer: null,
      model_version: version,
      review_propensity: reviewPropensity,
    });
    yield { partition: 0, offset, schemaId: 1, event: { conversation_id, approved, withdrawn: null, erased_at: null } };
  }
}

const rows = [...samples(60, 1), ...samples(60, 2)];

function world(
  of: Parameters<typeof logOf>[0] = rows,
  changes: Partial<RunPorts & { log: MemoryModelLog }> = {},
): RunPorts & { log: MemoryModelLog } {
  const log = memoryModelLog();
  let clock = 1000;
  return {
    log,
    artifacts: openArtifactFolder(path.join(home, String(folders++))),
    samples: (upTo) => logOf(of, upTo),
    train,
    policy: () => Promise.resolve(defaultPolicy),
    promotion: { ...defaultPromotionPolicy, minRows: 20, intentFloor: 0, languageFloor: 0 },
    options: quick,
    places: {},
    codeVersion: '1.0.0',
    dataSets: path.join(home, 'data-sets'),
    trainer: 'test',
    now: () => (clock += 2000),
    ...changes,
  };
}

/** `train`, and the number of rows that each training learned from. */
function noted(): { readonly trainings: number[]; readonly train: RunPorts['train'] } {
  const trainings: number[] = [];
  return {
    trainings,
    train(input, control) {
      trainings.push(input.train.length);
      return train(input, control);
    },
  };
}

async function ask({ log }: RunPorts, approvals = rows.length) {
  const { id } = runAt('default', approvals);
  await log.append((now) =>
    requestRun(
      now,
      { id, approvals, dataSet: 'default', trigger: 'threshold', watermark: new Map([[0, approvals]]) },
      { by: 'test', at: 1 },
    ),
  );
  return id;
}
/** The stored report of a run or a version. */
async function reportOf({ artifacts }: RunPorts, sha256: string | null | undefined): Promise<StoredReport> {
  return JSON.parse((await artifacts.get(sha256 ?? '')).toString()) as StoredReport;
}

/** Gives the version all the traffic. */
async function promote({ log }: RunPorts, version: string): Promise<void> {
  await log.append((now) => ({ models: setTraffic(now, version, 100, { by: 'test', reason: '', at: 1 }) }));
}

const quiet = new AbortController().signal;

/** Whether a process group has a member. */
function isThere(group: number): boolean {
  try {
    return process.kill(-group, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Registers a model without a run, even where the log already has its number. */
const foreign = (version: string, standing: ModelStanding) =>
  register(emptyLog, version, standing, { by: 'test', reason: '', at: 1 });

describe('a training run', () => {
  it('makes a data set, a file, a report and a version, and records its end in the log', async () => {
    const ports = world();
    const id = await ask(ports);
    const run = await executeRun(id, ports, quiet);
    assert.equal(run?.status, 'finished');
    assert.equal(run.version, 'router-v1.1.0');
    const standing = (await ports.log.read()).models.get('router-v1.1.0')?.standing;
    assert.equal(standing?.status, 'trained');
    assert.equal(standing.verdict, 'promote');
    assert.equal(standing.training_samples, rows.length);
    assert.deepEqual(standing.consumed, [{ partition: 0, next_offset: rows.length }]);
    assert.ok((standing.test_accuracy ?? 0) > 0.8);
    const report = await reportOf(ports, standing.report_sha256);
    assert.equal(standing.average_latency_ms, report.evaluation.latencyMs?.mean);
    const page = (await ports.artifacts.get(standing.page_sha256 ?? '')).toString();
    assert.match(page, /Training report <code>router-v1.1.0/);
    assert.ok(ports.log.runs.some(({ progressed }) => progressed !== null));
    assert.equal(await executeRun(id, ports, quiet).then((again) => again?.status), 'finished');
    assert.equal(ports.log.models.length, 2);
  });

  it('learns from some of the automatic rows where there are many, and reports how many it left out', async () => {
    const many = rows.map((row, i) => (i % 4 === 0 ? row : ({ ...row, source: 'auto' } as const)));
    const { trainings, train } = noted();
    const ports = world(many, { maxRows: rows.length / 3, train });
    const run = await executeRun(await ask(ports), ports, quiet);
    const { dropped } = await reportOf(ports, run?.report_sha256);
    const left = dropped['over-the-limit'] ?? 0;
    assert.ok(left > rows.length / 4 && left < (3 * rows.length) / 4, `${left} of ${rows.length} rows are left`);
    assert.ok((trainings[0] ?? 0) + left <= rows.length);
    const standing = (await ports.log.read()).models.get('router-v1.1.0')?.standing;
    assert.equal(standing?.training_samples, rows.length, 'the data set has all rows');
  });

  it('passes on the probability that people were asked, for calibration', async () => {
    const asked = rows.map((row, i) => ({ ...row, reviewPropensity: i % 2 === 0 ? 0.05 : null }));
    const chances = new Map<string, number>();
    const ports = world(asked, {
      train(input, control) {
        for (const { reviewPropensity } of input.dev)
          chances.set(String(reviewPropensity), (chances.get(String(reviewPropensity)) ?? 0) + 1);
        return train(input, control);
      },
    });
    await executeRun(await ask(ports), ports, quiet);
    assert.deepEqual([...chances.keys()].sort(), ['0.05', 'null']);
  });

  it('does not learn labels of a version that was rolled back, says so, and decides that once', async () => {
    const wrong = { version: 'router-v1.1.0', intent: 'cancel_order', module: 'food' };
    const labelled = rows.map((row, i) =>
      i >= 400 && i % 2 === 0
        ? { ...row, ...wrong, source: i % 10 === 0 ? ('human' as const) : ('auto' as const) }
        : row,
    );
    const own = labelled.filter((row) => 'version' in row && row.source === 'auto').length;
    const act = { by: 'test', reason: '', at: 1 };
    const ports = world(labelled);
    await executeRun(await ask(ports, 400), ports, quiet);
    await ports.log.append((log) => ({ models: setTraffic(log, 'router-v1.1.0', 10, act) }));
    await ports.log.append((log) => ({ models: rollBack(log, 'router-v1.1.0', act) }));

    const onStep = (step: string) => {
      if (step === 'data-set') throw new Transient('killed');
    };
    const id = await ask(ports);
    await assert.rejects(executeRun(id, { ...ports, onStep }, quiet), /killed/);
    // The version gets another trial meanwhile: this run keeps its first decision, the next one learns the labels again.
    await ports.log.append((log) => ({ models: setTraffic(log, 'router-v1.1.0', 10, act) }));
    const run = await executeRun(id, ports, quiet);
    assert.equal(run?.failure, null);
    const report = await reportOf(ports, run.report_sha256);
    assert.equal(report.dropped['labelled-by-a-version-rolled-back'], own);
    const page = (await ports.artifacts.get(run.page_sha256 ?? '')).toString();
    assert.match(page, new RegExp(`${own} labelled by a version rolled back`));
    assert.equal((await ports.log.read()).models.get('router-v1.2.0')?.standing.training_samples, rows.length - own);

    const longer = world([...labelled, ...rows.slice(0, 1)], { log: ports.log, artifacts: ports.artifacts });
    await executeRun(await ask(longer, rows.length + 1), longer, quiet);
    assert.equal((await ports.log.read()).models.get('router-v1.3.0')?.standing.training_samples, rows.length + 1);
  });

  it('says why nothing is left to learn where a version that was rolled back has labelled everything', async () => {
    const ports = world(rows.map((row) => ({ ...row, source: 'auto' as const, version: 'router-v1.0.0' })));
    const status = { ...firstModel().standing, status: 'rolled_back' as const };
    await ports.log.append(() => ({ models: [{ ...firstModel(), event_id: 'router-v1.0.0/2', standing: status }] }));
    const run = await executeRun(await ask(ports), ports, quiet);
    assert.match(run?.failure ?? '', /of 720 samples, 0 are reserved.*720 labelled by a version rolled back/);
  });

  it('trains again without what was erased after an earlier attempt had read it', async () => {
    const { trainings, train } = noted();
    const ports = world(rows, { train });
    const id = await ask(ports);
    const onStep = (step: string) => {
      if (step === 'trained') throw new Transient('killed');
    };
    await assert.rejects(executeRun(id, { ...ports, onStep }, quiet), /killed/);
    const earlier = (await ports.log.read()).runs.get(id)?.artifact_sha256;
    async function* erasedSince(upTo: ReadonlyMap<number, number>): AsyncGenerator<PlacedSample> {
      yield* logOf(rows, upTo);
      const event = { conversation_id: 'c-000003', approved: null, withdrawn: null, erased_at: 1 };
      yield { partition: 0, offset: rows.length, schemaId: 1, event };
    }
    const run = await executeRun(id, { ...ports, samples: erasedSince }, quiet);
    assert.equal(run?.status, 'finished');
    assert.equal(trainings.length, 2);
    assert.notEqual(run.artifact_sha256, earlier);
    assert.equal((await ports.log.read()).models.get('router-v1.1.0')?.standing.training_samples, rows.length - 1);
  });

  it('is registered once, with the same number and bytes, when the trainer dies after any step', async () => {
    const whole = world();
    await executeRun(await ask(whole), whole, quiet);
    const expected = (await whole.log.read()).models.get('router-v1.1.0')?.standing;
    for (const death of ['started', 'data-set', 'trained', 'evaluated', 'registered'] as const) {
      const { trainings, train } = noted();
      const ports = world(rows, { train });
      const id = await ask(ports);
      const dies = {
        ...ports,
        onStep: (step: string) => {
          if (step === death) throw new Transient('killed');
        },
      };
      await assert.rejects(executeRun(id, dies, quiet), /killed/);
      await ask(ports); // the crossing of the threshold is delivered again
      const run = await executeRun(id, ports, quiet);
      assert.equal(run?.status, 'finished', death);
      const { models, runs } = await ports.log.read();
      assert.deepEqual([...runs.keys()], [id]);
      assert.deepEqual([...models.keys()], ['router-v1.0.0', 'router-v1.1.0'], death);
      assert.equal(models.get('router-v1.1.0')?.standing.artifact_sha256, expected?.artifact_sha256, death);
      assert.equal(trainings.length, 1, `${death}: training is not repeated`);
    }
  });

  it('reports on the file that it registers, also when the first file was lost and training made another', async () => {
    const ports = world();
    const id = await ask(ports);
    const onStep = (step: string) => {
      if (step === 'evaluated') throw new Transient('killed');
    };
    await assert.rejects(executeRun(id, { ...ports, onStep }, quiet), /killed/);
    const { artifact_sha256, report_sha256 } = (await ports.log.read()).runs.get(id) ?? {};
    const sha256 = artifact_sha256 ?? '';
    await rm(path.join(home, String(folders - 1), sha256.slice(0, 2), sha256));
    const run = await executeRun(id, { ...ports, options: { ...quick, seed: 2 } }, quiet);
    assert.equal(run?.status, 'finished');
    assert.notEqual(run.artifact_sha256, artifact_sha256);
    assert.notEqual(run.report_sha256, report_sha256);
  });

  it('keeps its version number when a model is registered while it runs, and takes the next when another model has it', async () => {
    const whole = world();
    const first = await executeRun(await ask(whole, 400), whole, quiet);
    const report = await reportOf(whole, first?.report_sha256);
    const other = { bytes: Buffer.from('other'), report, manifest: { rows: 7, sha256: '' } };
    const act = { by: 'test', reason: '', at: 1 };
    const ports = world();
    const id = await ask(ports);
    const registerOther = async (step: string) => {
      if (step === 'trained') await registerModel(ports.log, ports.artifacts, other, act);
    };
    let registered: Promise<unknown> = Promise.resolve();
    const policy = async () => {
      await registered;
      return defaultPolicy;
    };
    const run = await executeRun(
      id,
      { ...ports, policy, onStep: (step) => void (registered = registerOther(step)) },
      quiet,
    );
    assert.deepEqual([run?.status, run?.version], ['finished', 'router-v1.1.0']);
    const { models } = await ports.log.read();
    assert.deepEqual(
      [...models].map(([version, { standing }]) => [version, standing.run_id, standing.training_samples]),
      [
        ['router-v1.0.0', null, 0],
        ['router-v1.2.0', null, 7],
        ['router-v1.1.0', id, rows.length],
      ],
    );
    const page = await ports.artifacts.get(models.get('router-v1.2.0')?.standing.page_sha256 ?? '');
    assert.match(page.toString(), /Training report <code>router-v1.2.0/);

    // An earlier release registered a model under the number of a run.
    const old = world();
    const taken = await ask(old);
    const standing = { ...blankStanding(1), artifact_sha256: 'abc' };
    const onStep = (step: string) => {
      if (step !== 'evaluated') return;
      void old.log.append(() => ({ models: foreign('router-v1.1.0', standing) }));
    };
    const failed = await executeRun(taken, { ...old, onStep }, quiet);
    assert.match(failed?.failure ?? '', /router-v1.1.0 is another model already; resume the run/);
    await old.log.append((log) => resumeRun(log, taken, { by: 'asha', at: 3 }));
    const resumed = await executeRun(taken, old, quiet);
    assert.deepEqual([resumed?.status, resumed?.version], ['finished', 'router-v1.2.0']);
    const page2 = await old.artifacts.get(resumed?.page_sha256 ?? '');
    assert.match(page2.toString(), /Training report <code>router-v1.2.0/);
  });

  it('makes the same bytes again when all but the log is lost, also where one version continues from another', async () => {
    const chain = async () => {
      const ports = world();
      await executeRun(await ask(ports, 400), ports, quiet);
      await promote(ports, 'router-v1.1.0');
      await executeRun(await ask(ports, rows.length), ports, quiet);
      const { models } = await ports.log.read();
      return ['router-v1.1.0', 'router-v1.2.0'].map((version) => {
        const standing = models.get(version)?.standing;
        return [standing?.parent_version, standing?.data_set_sha256, standing?.artifact_sha256];
      });
    };
    const [first, again] = [await chain(), await chain()];
    assert.deepEqual(again, first);
    assert.deepEqual(
      first.map(([parent]) => parent),
      [null, 'router-v1.1.0'],
    );
  });

  it('starts from nothing, and says so, where production has no room for new words', async () => {
    const words = { visa: ['zorp', 'quindle', 'dwiv', 'ulk'], luggage: ['frabble', 'moxit', 'jujube', 'agog'] };
    const fresh = Object.entries(words).flatMap(([intent, all]) =>
      Array.from({ length: 192 }, (_, i) => ({
        text: [i % 4, (i >> 2) % 4, (i >> 4) % 4].map((word) => all[word]).join(' '),
        ...{ intent, module: 'travel', language: 'en', source: 'human' as const },
      })),
    );
    const ports = world([...rows.slice(0, 400), ...fresh], { options: { ...quick, features: 60 } });
    await executeRun(await ask(ports, 400), ports, quiet);
    await promote(ports, 'router-v1.1.0');
    const run = await executeRun(await ask(ports, 400 + fresh.length), ports, quiet);
    const report = await reportOf(ports, run?.report_sha256);
    for (const name of Object.keys(words)) {
      const { rows: asked = 0, recall = 0 } = report.evaluation.byIntent[`travel/${name}`] ?? {};
      assert.ok(asked > 5 && recall > 0.9, `${name}: ${recall} of ${asked}`);
    }
    assert.deepEqual([report.parent, report.passedOver], [null, 'router-v1.1.0']);
    const page = (await ports.artifacts.get(run?.page_sha256 ?? '')).toString();
    assert.match(page, /from scratch, on all rows: <code>router-v1.1.0<.code> has no room for new words/);
    assert.equal((await ports.log.read()).models.get('router-v1.2.0')?.standing.parent_version, null);
  });

  it('continues from production with the same sentence encoder, and starts from nothing with another', async () => {
    const places = { models: path.join(home, 'models'), cache: path.join(home, 'embeddings') };
    const words = [...new Set([...rows.flatMap(({ text }) => tokens(text)), ...Array(97).keys()].map(String))];
    for (const [name, seed] of [['one', 1] as const, ['other', 2] as const])
      await writeTinyEncoder(path.join(places.models, name), words, seed);
    const of = (model: string) => ({ kind: 'transformer', model, pooling: 'mean' }) as const;
    const ports = world(rows, { places, options: { ...quick, encoder: of('one') } });
    /** Trains on the first `approvals` rows, gives the version all traffic, and returns the report. */
    const next = async (approvals: number, changes: Partial<RunPorts>) => {
      const run = await executeRun(await ask(ports, approvals), { ...ports, ...changes }, quiet);
      assert.equal(run?.failure, null);
      const version = run.version ?? '';
      await promote(ports, version);
      return await reportOf(ports, run.report_sha256);
    };
    const [first, second, third, last] = [
      await next(400, {}),
      await next(500, {}),
      await next(600, { options: { ...quick, encoder: of('other') } }),
      await next(700, { options: quick }),
    ];
    const seen = [first, second, third, last].map(({ parent, passedOver, made }) => [
      parent,
      passedOver,
      made.encoder['model'],
    ]);
    assert.deepEqual(seen, [
      [null, null, 'one'],
      ['router-v1.1.0', null, 'one'],
      [null, 'router-v1.2.0', 'other'],
      [null, 'router-v1.3.0', undefined],
    ]);
    assert.ok((second.comparison?.rows ?? 0) > 20, 'it is compared with production, which has an encoder too');

    const lost = { ...ports, options: { ...quick, encoder: of('nowhere') } };
    const failed = await executeRun(await ask(ports, 710), lost, quiet);
    assert.match(failed?.failure ?? '', /^There is no encoder in .*nowhere/);
    await ports.log.append((log) => resumeRun(log, 'default-710', { by: 'asha', at: 3 }));
    assert.equal((await executeRun('default-710', ports, quiet))?.status, 'finished');
  });

  it('measures the latency with a sentence encoder on texts that are not in its cache', async (t) => {
    const places = { models: path.join(home, 'models'), cache: path.join(home, 'timed') };
    await writeTinyEncoder(path.join(places.models, 'tiny'), [...new Set(rows.flatMap(({ text }) => tokens(text)))]);
    const encoder = { kind: 'transformer', model: 'tiny', pooling: 'mean' } as const;
    const ports = world(rows, { places, options: { ...quick, encoder } });
    const looks = t.mock.method(EmbeddingCache.prototype, 'get');
    const onStep = (step: string) => {
      if (step === 'trained') looks.mock.resetCalls();
    };
    const run = await executeRun(await ask(ports), { ...ports, onStep }, quiet);
    const report = await reportOf(ports, run?.report_sha256);
    assert.equal(looks.mock.callCount(), report.rows.test, 'only the judgement of the test rows looks embeddings up');
  });

  it('can leave training to a program, which starts from nothing, and records how it fails', async () => {
    const script = path.join(import.meta.dirname, 'external-trainer.ts');
    const program = (mode: string, timeoutMs = 60_000) =>
      ({ command: [process.execPath, '--import', 'tsx', script, mode], timeoutMs }) as const;
    const train = () => assert.fail('the own trainer was called');
    const ports = world(rows, { program: program('good'), train });
    const id = await ask(ports, 700);
    const wrong = [
      [{ command: ['/no/such/program'], timeoutMs: 1000 }, /no\/such\/program can't be started/],
      [program('fails'), /failed with code 3.*no GPU here/s],
      [program('foreign'), /is refused\. The file is not a whole ONNX model/],
      [program('brings'), /with the label food\/new\? would be refused/],
      [program('hangs', 1000), /still running after 1 s/],
    ] as const;
    for (const [other, reason] of wrong) {
      const run = await executeRun(id, { ...ports, program: other }, quiet);
      assert.deepEqual([run?.status, run?.version], ['failed', null]);
      assert.match(run?.failure ?? '', reason);
      await ports.log.append((log) => resumeRun(log, id, { by: 'asha', at: 2 }));
    }
    const run = await executeRun(id, ports, quiet);
    assert.deepEqual([run?.status, run?.version, run?.failure], ['finished', 'router-v1.1.0', null]);
    const standing = (await ports.log.read()).models.get('router-v1.1.0')?.standing;
    assert.ok((standing?.test_accuracy ?? 0) > 0.8);
    const report = await reportOf(ports, run?.report_sha256);
    assert.deepEqual([report.made.external, report.made.encoder], [{ by: 'test' }, { kind: 'tokens', maxLength: 32 }]);
    const page = (await ports.artifacts.get(run?.page_sha256 ?? '')).toString();
    assert.match(page, /external program.*&quot;by&quot;:&quot;test&quot;/);

    // The own trainer can't continue from its model.
    await promote(ports, 'router-v1.1.0');
    const own = world(rows, { log: ports.log, artifacts: ports.artifacts });
    const next = await executeRun(await ask(own), own, quiet);
    const after = await reportOf(ports, next?.report_sha256);
    assert.deepEqual([after.parent, after.passedOver, after.comparedWith], [null, 'router-v1.1.0', 'router-v1.1.0']);
  });

  it('ends the program when it is cancelled or its trainer is stopped', async () => {
    const script = path.join(import.meta.dirname, 'external-trainer.ts');
    const groups: (number | undefined)[] = [];
    const begun = new EventEmitter();
    const ports = world(rows, {
      program: { command: [process.execPath, '--import', 'tsx', script, 'hangs'], timeoutMs: 60_000 },
      onGroup(group) {
        groups.push(group);
        begun.emit('begun');
      },
    });
    const id = await ask(ports);
    const cancelled = executeRun(id, ports, quiet);
    await once(begun, 'begun');
    await ports.log.append((log) => cancelRun(log, id, { by: 'asha', at: 2 }));
    assert.equal((await cancelled)?.status, 'cancelled');
    await ports.log.append((log) => resumeRun(log, id, { by: 'asha', at: 3 }));
    const stop = new AbortController();
    const onGroup = () => stop.abort(new Error('stopping'));
    await assert.rejects(executeRun(id, { ...ports, onGroup }, stop.signal), /stopping/);
    assert.equal((await ports.log.read()).runs.get(id)?.status, 'requested');
    // A killed process is gone once its parent, or init, has reaped it.
    for (const deadline = Date.now() + 10_000; isThere(groups[0] ?? 0); await sleep(20))
      assert.ok(Date.now() < deadline, `The group ${groups[0] ?? ''} is still there.`);
  });

  it('does not continue from a file that has learned the rows for its calibration', async () => {
    const ports = world();
    const half = split([...samples(30, 1)]);
    const manifest = { rows: 180, sha256: '' };
    for (const [version, learnDev, learned, approvals, parent] of [
      ['router-v1.1.0', true, true, 300, null],
      ['router-v1.3.0', false, false, 400, 'router-v1.3.0'],
      ['router-v1.5.0', true, false, rows.length, 'router-v1.5.0'], // as with many rows
    ] as const) {
      const made = await train({ ...half, options: { ...quick, learnDev } });
      const outcome = { ...made, history: made.history.filter(({ stage }) => learned || stage === 'fit') };
      const bytes = await makeModelFile(outcome, { manifest, parent: null }, half.train);
      const [policy, promotion, production] = [defaultPolicy, ports.promotion, undefined];
      const report = await reportOn({
        version,
        bytes,
        places: {},
        sides: half,
        manifest,
        policy,
        promotion,
        production,
      });
      const act = { by: 'test', reason: '', at: 1 };
      await registerModel(ports.log, ports.artifacts, { bytes, report, manifest }, act);
      await promote(ports, version);
      const run = await executeRun(await ask(ports, approvals), ports, quiet);
      assert.equal((await ports.log.read()).models.get(run?.version ?? '')?.standing.parent_version, parent);
    }
  });

  it('compares with production on the same rows', async () => {
    const ports = world();
    await executeRun(await ask(ports, 400), ports, quiet);
    await promote(ports, 'router-v1.1.0');
    await executeRun(await ask(ports), ports, quiet);
    const standing = (await ports.log.read()).models.get('router-v1.2.0')?.standing;
    assert.equal(standing?.compared_with, 'router-v1.1.0');
    const report = await reportOf(ports, standing.report_sha256);
    assert.equal(report.comparison?.rows, report.rows.test);
    // Dev rows stay unlearned: the version after this one is calibrated on them.
    assert.deepEqual([...new Set(report.history.map(({ stage }) => stage))], ['fit']);
  });

  it('does not count rows out of scope as evidence', async () => {
    const outside = Array.from({ length: 600 }, (_, i) => ({
      text: `nothing that we do: ${String(i).replaceAll(/\d/g, (digit) => 'abcdefghij'[Number(digit)] ?? '')}`,
      intent: OUT_OF_SCOPE,
      module: '',
      language: 'en',
      source: 'human' as const,
    }));
    const ports = world([...samples(20), ...outside]);
    await executeRun(await ask(ports, 120), ports, quiet);
    await promote(ports, 'router-v1.1.0');
    await executeRun(await ask(ports, 720), ports, quiet);
    const standing = (await ports.log.read()).models.get('router-v1.2.0')?.standing;
    const report = await reportOf(ports, standing?.report_sha256);
    const compared = report.comparison?.rows ?? 0;
    assert.ok(report.rows.test > 40 && compared < 20, `${compared} of ${report.rows.test} rows are compared`);
    assert.match(standing?.reasons.join() ?? '', new RegExp(`There are ${compared} test rows in scope`));

    const first = world([...samples(20), ...outside]); // nor when nothing is in production
    const run = await executeRun(await ask(first, 720), first, quiet);
    assert.deepEqual([run?.verdict, run?.reasons], ['inconclusive', standing?.reasons]);
  });

  it('fences a trainer that was paused while another took over', async () => {
    const ports = world();
    const id = await ask(ports);
    const paused = {
      ...ports,
      onStep: () => undefined,
      train: async (...[input, control]: Parameters<typeof train>) => {
        const outcome = await train(input, control);
        await ports.log.append((log) => startRun(log, id, 'other', 1));
        return outcome;
      },
    };
    const seen = await executeRun(id, paused, quiet);
    assert.deepEqual([seen?.status, seen?.attempt, seen?.attempts_excused], ['running', 2, 1]);
    assert.equal((await ports.log.read()).models.size, 1);
  });

  it('stops at its next progress event when it is cancelled, and continues when it is resumed', async () => {
    const ports = world();
    const id = await ask(ports);
    const act = { by: 'asha', at: 2 };
    const cancelled = {
      ...ports,
      options: { ...quick, epochs: 50, patience: 50 },
      onStep: (step: string) => {
        if (step === 'data-set') void ports.log.append((log) => cancelRun(log, id, act));
      },
    };
    assert.equal((await executeRun(id, cancelled, quiet))?.status, 'cancelled');
    assert.equal((await executeRun(id, ports, quiet))?.status, 'cancelled');
    await ports.log.append((log) => resumeRun(log, id, act));
    assert.equal((await executeRun(id, ports, quiet))?.status, 'finished');
  });

  it('stops when it is cancelled during a step without progress events, such as reading with a sentence encoder', async () => {
    const ports = world();
    const id = await ask(ports);
    const reads = (_input: unknown, { signal }: { readonly signal?: AbortSignal }) => {
      void ports.log.append((log) => cancelRun(log, id, { by: 'asha', at: 2 }));
      return new Promise<never>((_resolve, reject) =>
        signal?.addEventListener('abort', () => reject(signal.reason as Error)),
      );
    };
    const stop = AbortSignal.timeout(20_000);
    assert.equal((await executeRun(id, { ...ports, train: reads }, stop))?.status, 'cancelled');
  });

  it('stays cancelled when its work fails just afterwards', async () => {
    const ports = world();
    const id = await ask(ports);
    const train = async () => {
      await ports.log.append((log) => cancelRun(log, id, { by: 'asha', at: 2 }));
      throw new ArtifactError('A file can’t be kept: the disk is full.');
    };
    const run = await executeRun(id, { ...ports, train }, quiet);
    assert.deepEqual([run?.status, run?.failure], ['cancelled', null]);
  });

  it('gives up after it has killed every trainer', async () => {
    const ports = world();
    const id = await ask(ports);
    for (let i = 0; i < MAX_ATTEMPTS; i++) await ports.log.append((log) => startRun(log, id, 'dies', 1));
    const run = await executeRun(id, ports, quiet);
    assert.equal(run?.status, 'failed');
    assert.match(run.failure ?? '', /5 attempts.*--resume/);
  });

  it('fails on an unexpected error without ending its trainer, and is tried again after a temporary one', async () => {
    const ports = world();
    const id = await ask(ports);
    const meets = (error: Error) => ({ ...ports, policy: () => Promise.reject(error) });
    const away = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:9092'), { code: 'ECONNREFUSED' });
    await assert.rejects(executeRun(id, meets(away), quiet), /ECONNREFUSED/);
    const run = await executeRun(id, meets(new RangeError('A confidence is NaN.')), quiet);
    assert.deepEqual([run?.status, run?.failure], ['failed', 'Unexpected error: RangeError: A confidence is NaN.']);
    await ports.log.append((log) => resumeRun(log, id, { by: 'asha', at: 3 }));
    assert.equal((await executeRun(id, ports, quiet))?.status, 'finished');
  });

  it('goes to the next trainer when its trainer is stopped, however often that happens', async () => {
    const ports = world();
    const id = await ask(ports);
    for (let i = 0; i <= MAX_ATTEMPTS; i++) {
      const stop = new AbortController();
      const stopped = {
        ...ports,
        onStep: (step: string) => {
          if (step === 'data-set') stop.abort(new Error('stopping'));
        },
      };
      await assert.rejects(executeRun(id, stopped, stop.signal), /stopping/);
      assert.equal((await ports.log.read()).runs.get(id)?.status, 'requested');
    }
    assert.equal((await executeRun(id, ports, quiet))?.status, 'finished');
  });

  it('is given back when its trainer is stopped while it reads the data set, and leaves no files', async () => {
    const stop = new AbortController();
    async function* endless(): AsyncGenerator<PlacedSample> {
      for (let i = 0; ; i++) {
        if (i === 5) stop.abort(new Error('stopping'));
        for await (const sample of logOf(rows, new Map([[0, rows.length]]))) yield sample;
      }
    }
    const dataSets = path.join(home, 'stopped');
    const ports = world(rows, { samples: endless, dataSets });
    const id = await ask(ports);
    await assert.rejects(executeRun(id, ports, stop.signal), /stopping/);
    const run = (await ports.log.read()).runs.get(id);
    assert.deepEqual([run?.status, run?.attempts_excused], ['requested', 1]);
    assert.deepEqual(await readdir(dataSets), []);
  });

  const bad: readonly (readonly [string, readonly Sample[], RegExp])[] = [
    ['zero samples', [], /nothing to train on: of 0 samples/],
    ['all texts empty', rows.map((row) => ({ ...row, text: '' })), /of 720 samples, 0 are reserved.*720 empty text/],
    ['one class', samples(200, 1, ['ride/fare']), /ride\/fare; a classifier needs at least two/],
  ];
  for (const [name, of, reason] of bad)
    it(`says what is wrong with ${name}, registers nothing, and lets the next run succeed`, async () => {
      const ports = world(of);
      const id = await ask(ports, Math.max(1, of.length));
      const run = await executeRun(id, ports, quiet);
      assert.equal(run?.status, 'failed');
      assert.match(run.failure ?? '', reason);
      assert.equal((await ports.log.read()).models.size, 1);
      const next = { ...ports, samples: (upTo: ReadonlyMap<number, number>) => logOf(rows, upTo) };
      assert.equal((await executeRun(await ask(next, rows.length + 1), next, quiet))?.status, 'finished');
    });

  it('says that the disk was full when the model was written, and succeeds when it is resumed with room', async () => {
    let full = true;
    const real = openArtifactFolder(path.join(home, 'full'));
    const artifacts: ArtifactStore = {
      ...real,
      put: (bytes) =>
        full
          ? Promise.reject(new ArtifactError('A file can’t be kept: the disk is full. Make room, then resume the run.'))
          : real.put(bytes),
    };
    const ports = world(rows, { artifacts });
    const id = await ask(ports);
    const failed = await executeRun(id, ports, quiet);
    assert.match(failed?.failure ?? '', /disk is full/);
    full = false;
    await ports.log.append((log) => resumeRun(log, id, { by: 'asha', at: 3 }));
    assert.equal((await executeRun(id, ports, quiet))?.status, 'finished');
  });

  it('refuses a damaged file of production, and succeeds when it is resumed with the right one', async () => {
    const ports = world();
    await executeRun(await ask(ports, 400), ports, quiet);
    await promote(ports, 'router-v1.1.0');
    const sha256 = (await ports.log.read()).models.get('router-v1.1.0')?.standing.artifact_sha256 ?? '';
    const good = await ports.artifacts.get(sha256);
    const file = path.join(home, String(folders - 1), sha256.slice(0, 2), sha256);
    await writeFile(file, good.subarray(0, 1000));
    const id = await ask(ports);
    const run = await executeRun(id, ports, quiet);
    assert.equal(run?.status, 'failed');
    assert.match(run.failure ?? '', /was damaged/);
    await writeFile(file, good);
    await ports.log.append((log) => resumeRun(log, id, { by: 'asha', at: 3 }));
    assert.equal((await executeRun(id, ports, quiet))?.status, 'finished');
  });
});
