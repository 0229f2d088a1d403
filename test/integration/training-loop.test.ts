import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startComponents } from '../../app/components.ts';
import type { RunningComponents } from '../../app/components.ts';
import { producerOptions } from '../../app/environment.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { readPipelineFigures } from '../../app/pipeline-figures.ts';
import { childrenOf, readProc } from '../../bench/processes.ts';
import { deploymentOf, setTraffic } from '../../policy/model-log.ts';
import type { ModelLog, ModelRecord } from '../../policy/model-log.ts';
import { defaultPromotionPolicy } from '../../policy/promotion.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { offsetsOf, requestRun, watermarkOf } from '../../policy/training-run.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { ingestJsonl } from '../../producers/jsonl.ts';
import { readTopic, topicEnds } from '../../runtime/read-topic.ts';
import { digestTable, rebuildProjection } from '../../runtime/rebuild.ts';
import type { RunStanding, StepJudged } from '../../schemas/types.ts';
import { modelDeployments } from '../../sinks/model-deployments.ts';
import { modelVersions } from '../../sinks/model-versions.ts';
import { topics } from '../../topology.ts';
import { openArtifactFolder } from '../../trainer/artifacts.ts';
import { codeVersion } from '../../trainer/code-version.ts';
import { readSamples } from '../../trainer/data-set/data-set.ts';
import { trainInWorker } from '../../trainer/learning/train-worker.ts';
import { openModelLog } from '../../trainer/model-log.ts';
import type { ModelLogPort } from '../../trainer/model-log.ts';
import { readEvidence, verdictOn } from '../../trainer/rollout/deployment-controller.ts';
import { executeRun } from '../../trainer/training-run.ts';
import { conversation, review } from '../fixtures.ts';
import { memoryModelLog } from '../trainer/memory-model-log.ts';
import { endAll, startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const examples = path.join(import.meta.dirname, '..', '..', 'examples');
const THRESHOLD = 2000;
const WAIT_MS = 240_000;

/** Ids of the run processes that this process has started. */
async function runProcesses(): Promise<readonly number[]> {
  const children = await childrenOf(process.pid);
  const commands = await Promise.all(children.map((pid) => readProc(`/proc/${pid}/cmdline`)));
  return children.filter((_, i) => commands[i]?.includes('run-process-main')).map(Number);
}

describe('the training loop on real servers', () => {
  let stack: Stack;
  let log: ModelLogPort;
  let running: RunningComponents[];

  /** Waits until `holds` is true of the log, and returns the log. */
  async function until(what: string, holds: (log: ModelLog) => boolean): Promise<ModelLog> {
    for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline; await sleep(200)) {
      const now = await log.read();
      if (holds(now)) return now;
    }
    const judged = [...(await log.read()).models.values()].map((model) =>
      JSON.stringify([model.version, model.judged]),
    );
    assert.fail(`This has not happened in time: ${what}. ${judged.join('\n')}`);
  }

  before(async () => {
    stack = await startStack();
    const { prepared } = stack;
    const config = { ...prepared.config, training: { ...prepared.config.training, threshold: THRESHOLD } };
    log = await openModelLog(prepared.servers.kafka, prepared.codecs);
    running = [await startComponents(['pipeline'], prepared)];
    const producer = await createConversationProducer(producerOptions(prepared));
    await ingestJsonl({ file: path.join(examples, 'conversations.jsonl'), kind: 'conversation', producer });
    await ingestJsonl({ file: path.join(examples, 'reviews.jsonl'), kind: 'review', producer });
    while (producer.stats().spoolBytes > 0) await sleep(100);
    await producer.close();
    await untilCaughtUp(prepared.servers, prepared.pool);
    // Two trainers and two controllers, of which one each leads. They start last: the first run must not end before the test begins.
    const services = ['trainer', 'deployment-controller'];
    for (let i = 0; i < 2; i++) running.push(await startComponents(services, { ...prepared, config }));
  });
  after(() =>
    endAll(
      () => endAll(...running.map((one) => () => one.stop())),
      () => log.close(),
      () => stack.stop(),
    ),
  );

  it('trains once for each crossing of the threshold, with two trainers and although the process of a run is killed', async () => {
    const { pool } = stack.prepared;
    let approvals = 0;
    for await (const { value } of readTopic(stack.prepared.servers.kafka, topics.trainingSamples.name))
      if (value !== null && stack.prepared.codecs.of(topics.trainingSamples).decode(value).approved !== null)
        approvals++;
    const due = Array.from({ length: Math.floor(approvals / THRESHOLD) }, (_, i) => `default-${(i + 1) * THRESHOLD}`);
    assert.ok(due.length >= 1);
    const [first = ''] = due;
    await until('the first run has begun to learn', ({ runs }) => (runs.get(first)?.epoch ?? 0) > 0);
    const processes = await runProcesses();
    assert.equal(processes.length, 1);
    for (const pid of processes) process.kill(pid, 'SIGKILL');
    const now = await until('all runs end', ({ runs }) =>
      due.every((id) => ['finished', 'failed'].includes(runs.get(id)?.status ?? '')),
    );
    assert.deepEqual([...now.runs.keys()], due);
    assert.deepEqual(
      due.map((id) => [now.runs.get(id)?.status, now.runs.get(id)?.failure]),
      due.map(() => ['finished', null]),
    );
    // More than two attempts if the other trainer took the lead meanwhile.
    assert.ok((now.runs.get(first)?.attempt ?? 0) > 1);
    await untilCaughtUp(stack.prepared.servers, pool);
    const { rows } = await pool.query<{ version: string }>('SELECT version FROM model_versions ORDER BY created_at');
    assert.deepEqual(
      rows.map(({ version }) => version),
      ['router-v1.0.0', ...due.map((_, i) => `router-v1.${i + 1}.0`)],
    );
  });

  it('leaves no process behind when a run has ended', async () => {
    while ((await runProcesses()).length > 0) await sleep(50, undefined, { signal: AbortSignal.timeout(20_000) });
  });

  it('has figures for monitoring of how the runs ended', async () => {
    const { servers, pool } = stack.prepared;
    const { training } = await readPipelineFigures(servers, pool);
    const runs = [...(await log.read()).runs.values()];
    const [last] = runs.toSorted((a, b) => (b.finished_at ?? 0) - (a.finished_at ?? 0));
    assert.ok(last && last.started_at !== null && last.finished_at !== null);
    assert.deepEqual(training, {
      byStatus: { finished: runs.length },
      last: {
        outcome: last.verdict,
        duration: (last.finished_at - last.started_at) / 1000,
        finishedAt: last.finished_at / 1000,
      },
      running: null,
    });
  });

  it('shows which samples a version was trained on', async () => {
    const { rows } = await stack.prepared.pool.query<{ version: string; samples: string; trained: number }>(
      `SELECT v.version, count(s.*) AS samples, v.training_samples AS trained
         FROM model_versions v JOIN training_samples s ON s.model_version_target = v.version
        WHERE v.version = 'router-v1.1.0' GROUP BY 1, 3`,
    );
    // A sample that was withdrawn or relabelled after the data set was made is no longer in the table as it was.
    const [first] = rows;
    assert.ok(first && Number(first.samples) > 0 && Number(first.samples) <= first.trained);
  });

  it('makes the same data set and the same model again from the log alone', async () => {
    const { kafka } = stack.prepared.servers;
    const [id, run] = [...(await log.read()).runs][0] as [string, RunStanding];
    const elsewhere = memoryModelLog();
    await elsewhere.append((now) =>
      requestRun(
        now,
        {
          id,
          dataSet: run.data_set,
          trigger: 'manual',
          approvals: run.approvals,
          watermark: watermarkOf(run.watermark),
        },
        { by: 'test', at: 0 },
      ),
    );
    const again = await executeRun(
      id,
      {
        log: elsewhere,
        artifacts: openArtifactFolder(path.join(stack.home, 'elsewhere')),
        samples: (upTo) => readSamples(kafka, stack.prepared.codecs, upTo),
        train: trainInWorker,
        policy: () => Promise.resolve(defaultPolicy),
        promotion: defaultPromotionPolicy,
        options: {},
        places: {},
        codeVersion,
        dataSets: path.join(stack.home, 'elsewhere-data-sets'),
        trainer: 'elsewhere',
        now: () => 0,
      },
      new AbortController().signal,
    );
    assert.equal(again?.status, 'finished');
    assert.deepEqual([again.data_set_sha256, again.artifact_sha256], [run.data_set_sha256, run.artifact_sha256]);
  });

  it('gives a version more traffic on good labels, and takes all traffic away on failed responses', async () => {
    const canary = await onTrial();
    const traffic = (now: ModelLog) => now.models.get(canary)?.standing.traffic_percentage;
    const started = traffic(await log.read()) ?? 0;
    const production = [...(await log.read()).models.values()].find(({ standing }) => standing.status === 'production');
    assert.ok(production);

    // The version in production has no file, and the system that answers for it names no version: there is nothing to compare with.
    await answer('alone', [canary, null], 60, () => true);
    await until('the first version gets more traffic by itself', (now) => (traffic(now) ?? 0) > started);
    assert.ok((await verdictsOn(canary)).includes(`success at ${started} %`));

    const more = traffic(await log.read()) ?? 0;
    // Production first: otherwise, on a busy machine, the version on trial could be judged against the floor, and get all the traffic.
    await answer('good', [production.version, canary], 150, () => true);
    await until('the good version gets more traffic', (now) => (traffic(now) ?? 0) > more);
    assert.ok((await verdictsOn(canary)).includes(`success at ${more} %`));

    await answer('bad', [production.version], 150, () => true, false);
    await answer('bad', [canary], 150, (i) => i % 2 === 0, false);
    const back = await until(
      'the failing version is rolled back',
      (now) => now.models.get(canary)?.standing.status === 'rolled_back',
    );
    assert.equal(traffic(back), 0);
    assert.equal(back.models.get(production.version)?.standing.traffic_percentage, 100);
    assert.match(back.models.get(canary)?.judged?.reasons.join(' ') ?? '', /Failed responses/);
  });

  it('rolls back a version whose responses fail when it has all the traffic', async () => {
    const [canary] = [...(await log.read()).models.keys()].slice(-1) as [string];
    const { production } = deploymentOf(await log.read());
    const ends = offsetsOf(await topicEnds(stack.prepared.servers.kafka, topics.conversationEvents.name));
    const act = { by: 'test', reason: 'once more', at: Date.now() };
    await log.append((now) => ({ models: setTraffic(now, canary, 50, act, ends) }));
    await answer('again', [production, canary], 150, () => true);
    await until('it gets all the traffic', (now) => deploymentOf(now).production === canary);
    await answer('worse', [canary], 150, (i) => i % 2 === 0, false);
    const back = await until('it is rolled back', (now) => deploymentOf(now).production === production);
    assert.equal(back.models.get(canary)?.standing.status, 'rolled_back');
    assert.deepEqual((await verdictsOn(canary)).slice(-2), ['success at 50 %', 'fail at 100 %']);
  });

  it('reaches each verdict again from the offsets recorded with it', async () => {
    const judged = await judgedSteps();
    for (const wanted of ['success', 'fail']) assert.ok(judged.some(({ verdict }) => verdict === wanted));
    for (const [i, step] of judged.entries()) {
      const { version, against, verdict, reasons, labels } = step;
      const evidence = await readEvidence(stack.prepared, step);
      // A version with all the traffic is compared with the evidence on the other version in the step before.
      const last = step.traffic_percentage === 100 ? judged[i - 1] : undefined;
      const before = last && { before: (await readEvidence(stack.prepared, last)).of(against) };
      assert.deepEqual(verdictOn(await log.read(), { version, against, evidence, ...before }), {
        verdict,
        reasons,
        labels,
      });
    }
  });

  it('rebuilds versions and deployments from the log as they were', async () => {
    const { servers, codecs, pool } = stack.prepared;
    await untilCaughtUp(servers, pool);
    for (const projection of [modelVersions, modelDeployments]) {
      const before = await digestTable(pool, projection);
      await rebuildProjection({ projection, kafka: servers.kafka, codec: codecs.of(projection.topic), pool });
      assert.equal(await digestTable(pool, projection), before);
    }
  });

  /** The verdicts on the steps of all versions; those of one are in order. */
  async function judgedSteps(): Promise<(StepJudged & { readonly version: string })[]> {
    const { servers, codecs } = stack.prepared;
    const steps: (StepJudged & { readonly version: string })[] = [];
    for await (const { value } of readTopic(servers.kafka, topics.modelEvents.name)) {
      const event = value && codecs.of(topics.modelEvents).decode(value);
      if (event?.judged) steps.push({ ...event.judged, version: event.version });
    }
    return steps;
  }

  async function verdictsOn(version: string): Promise<string[]> {
    return (await judgedSteps())
      .filter((step) => step.version === version)
      .map(({ verdict, traffic_percentage }) => `${verdict} at ${traffic_percentage} %`);
  }

  /** Returns the newest version once it is on trial: through the controller where the evaluation said promote, otherwise by hand. */
  async function onTrial(): Promise<string> {
    const [version, { standing }] = [...(await log.read()).models].at(-1) as [string, ModelRecord];
    if (standing.verdict === 'promote')
      await until(`${version} is on trial`, ({ models }) => models.get(version)?.standing.status === 'canary');
    else {
      const ends = offsetsOf(await topicEnds(stack.prepared.servers.kafka, topics.conversationEvents.name));
      await log.append((now) => ({
        models: setTraffic(now, version, 10, { by: 'test', reason: 'by hand', at: Date.now() }, ends),
      }));
    }
    return version;
  }

  /** Sends conversations of `versions` that a person must see, and approvals of them if `labelled`: too few to cause another run. */
  async function answer(
    name: string,
    versions: readonly (string | null)[],
    each: number,
    success: (i: number) => boolean,
    labelled = true,
  ) {
    const producer = await createConversationProducer(producerOptions(stack.prepared));
    for (const version of versions) {
      for (let i = 0; i < each; i++) {
        const conversation_id = `${name}-${version}-${i}`;
        // Not numbered: texts that differ in digits only are equal, and worth one label.
        const word = Array.from(String(i), (digit) => 'abcdefghij'[Number(digit)]).join('');
        const text = { user_message: `${name} message ${word}`, language: 'en', entities: [] };
        await producer.send({
          kind: 'conversation',
          record: conversation({
            ...text,
            conversation_id,
            model_version: version,
            nlu_confidence: 0.8,
            response_success: success(i),
          }),
        });
        const approved = review({ conversation_id, verdict: 'approve' });
        if (labelled && version !== null) await producer.send({ kind: 'review', record: approved });
      }
    }
    await producer.close();
  }
});
