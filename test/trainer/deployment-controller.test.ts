import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { versionTable } from '../../cli/models.ts';
import { runSummary } from '../../cli/train.ts';
import { blankStanding, CONTROLLER, deploymentOf, foldLog } from '../../policy/model-log.ts';
import { register, rollBack, setTraffic } from '../../policy/model-log.ts';
import type { ModelLog } from '../../policy/model-log.ts';
import type { StepVerdict } from '../../policy/rollout.ts';
import { requestRun } from '../../policy/training-run.ts';
import { nextCandidate, rolloutOf, whyNoTrial } from '../../policy/trial.ts';
import type { ModelLogPort } from '../../trainer/model-log.ts';
import { judgedNow, keyOf, noteVerdict, verdictOn } from '../../trainer/rollout/deployment-controller.ts';
import { RolloutEvidence } from '../../trainer/rollout/rollout-evidence.ts';
import { conversation, review } from '../fixtures.ts';
import { memoryModelLog } from './memory-model-log.ts';

const act = { by: CONTROLLER, reason: 'It is better.', at: 5 };
const V1 = 'router-v1.1.0';
const nothing = { captured: null, reviewed: null, policy: null, erased: null };

/**
 * A log with `V1` on trial, a function that notes a verdict on its step, and the number of appends, each of which fences other
 * writers. `meanwhile` happens between the decision to append and the append.
 */
async function onTrial(meanwhile?: (log: ModelLogPort) => Promise<unknown>) {
  const memory = memoryModelLog();
  await memory.append((now) => ({ models: register(now, V1, blankStanding(1), act) }));
  const { models } = await memory.append((now) => ({ models: setTraffic(now, V1, 10, act) }));
  const record = models.get(V1);
  assert.ok(record);
  let appends = 0;
  const log: typeof memory = {
    ...memory,
    append: async (decide) => {
      appends++;
      await meanwhile?.(memory);
      return memory.append(decide);
    },
  };
  const step = { key: keyOf(record), version: V1, against: 'router-v1.0.0' };
  const note = (verdict: StepVerdict['verdict'], { reason = 'Nobody knows.', labels = 0, events = 7 } = {}) =>
    noteVerdict(log, { ...step, upTo: new Map([[0, events]]) }, { verdict, reasons: [reason], labels }, () =>
      Promise.resolve([{ partition: 0, next_offset: 9 }]),
    );
  return { log, note, appends: () => appends };
}

describe('the next version on trial', () => {
  const hand = { by: 'asha', reason: 'complaints', at: 6 };

  /** A log with v1.1 in production, and v1.2 and v1.3, both trained and found better; v1.3 is on trial. */
  async function twoCandidates() {
    const log = memoryModelLog();
    const add = (version: string, compared_with: string | null, day: number) =>
      log.append((now) => ({
        models: register(
          now,
          version,
          { ...blankStanding(Date.UTC(2026, 0, day)), artifact_sha256: version, verdict: 'promote', compared_with },
          act,
        ),
      }));
    await add(V1, null, 1);
    await log.append((now) => ({ models: setTraffic(now, V1, 100, act) }));
    await add('router-v1.2.0', V1, 2);
    const now = await add('router-v1.3.0', V1, 3);
    assert.equal(nextCandidate(now), 'router-v1.3.0');
    await log.append((before) => ({ models: setTraffic(before, 'router-v1.3.0', 10, act) }));
    return { log, add };
  }

  it('is not an older one after a person has rolled one back, so that production can be rolled back too', async () => {
    const { log, add } = await twoCandidates();
    const back = await log.append((now) => ({ models: rollBack(now, 'router-v1.3.0', hand) }));
    assert.equal(nextCandidate(back), undefined);
    const before = await log.append((now) => ({ models: rollBack(now, V1, hand) }));
    assert.deepEqual(deploymentOf(before), { production: 'router-v1.0.0', canary: null });
    assert.equal(nextCandidate(await add('router-v1.4.0', null, 4)), 'router-v1.4.0');
  });

  it('is an older one after the controller itself has rolled one back', async () => {
    const { log } = await twoCandidates();
    const back = await log.append((now) => ({ models: rollBack(now, 'router-v1.3.0', act) }));
    assert.equal(nextCandidate(back), 'router-v1.2.0');
  });

  it('is never one that was compared with a version no longer in production, and people see why', async () => {
    const { log } = await twoCandidates();
    const waiting = await log.read();
    assert.match(whyNoTrial(waiting, 'router-v1.2.0') ?? '', /^It waits: router-v1\.3\.0 is on trial/);
    assert.equal(whyNoTrial(waiting, 'router-v1.3.0'), undefined, 'it is on trial itself');
    const over = await log.append((now) => ({ models: setTraffic(now, 'router-v1.3.0', 100, act) }));
    assert.equal(nextCandidate(over), undefined);
    const why = 'It is passed over: it was compared with router-v1.1.0, and router-v1.3.0 is in production now.';
    assert.deepEqual(rolloutOf(over, 'router-v1.2.0'), { judged: null, no_trial: why });
    const [version] = versionTable([
      { version: 'router-v1.2.0', ...blankStanding(0), ...rolloutOf(over, 'router-v1.2.0') },
    ])
      .split('\n')
      .slice(-1);
    assert.equal(version, `router-v1.2.0: ${why}`);
    const back = await log.append((now) => ({ models: rollBack(now, 'router-v1.3.0', act) }));
    assert.equal(nextCandidate(back), 'router-v1.2.0', 'the version it was compared with is in production again');
  });

  it('appears in the summary of its training run, or why there is no trial', async () => {
    const { log, add } = await twoCandidates();
    const made = (version: string, now: ModelLog) => {
      const { runs } = foldLog(now, requestRun(now, request, act));
      const run = runs.get(request.id);
      assert.ok(run);
      return runSummary(request.id, { ...run, status: 'finished', version, verdict: 'promote' }, now);
    };
    const request = { id: 'r', dataSet: 'default', trigger: 'manual', approvals: 1, watermark: new Map() } as const;
    assert.match(made('router-v1.4.0', await add('router-v1.4.0', V1, 4)), /router-v1\.3\.0 is on trial.* next run/);
    const over = await log.append((now) => ({ models: setTraffic(now, 'router-v1.3.0', 100, act) }));
    assert.match(made('router-v1.4.0', over), /passed over.* next run/);
    assert.match(made('router-v1.5.0', await add('router-v1.5.0', 'router-v1.3.0', 5)), /puts it on trial/);
  });

  it('may be any version when a person chooses it', async () => {
    const { log } = await twoCandidates();
    await log.append((now) => ({ models: rollBack(now, 'router-v1.3.0', hand) }));
    const now = await log.append((before) => ({ models: setTraffic(before, 'router-v1.2.0', 10, hand) }));
    assert.equal(deploymentOf(now).canary?.version, 'router-v1.2.0');
  });
});

describe('a version that has got all the traffic from its rollout', () => {
  const day = 24 * 60 * 60 * 1000;

  /** The log after a rollout that `by` ended, and a function that notes that production fails. */
  async function rolledOut(by: string) {
    const { log } = await onTrial();
    await log.append((now) => ({ models: setTraffic(now, V1, 50, act) }));
    const before = judgedNow(await log.read(), Date.now());
    assert.ok(before);
    const step = { key: keyOf(before), version: V1, against: 'router-v1.0.0', upTo: new Map([[0, 7]]) };
    const readEnds = () => Promise.resolve([{ partition: 0, next_offset: 9 }]);
    if (by === CONTROLLER)
      await noteVerdict(log, step, { verdict: 'success', reasons: ['Good.'], labels: 60 }, readEnds);
    else await log.append((now) => ({ models: setTraffic(now, V1, 100, { ...act, by, at: Date.now() }) }));
    const now = await log.read();
    assert.equal(deploymentOf(now).production, V1);
    const fail = async () => {
      const record = judgedNow(await log.read(), Date.now());
      assert.ok(record, 'nothing is judged'); // without a message Node parses this file for one, for minutes
      const again = { ...step, key: keyOf(record) };
      return noteVerdict(log, again, { verdict: 'fail', reasons: ['Failed responses.'], labels: 60 }, readEnds);
    };
    return { log, now, fail };
  }

  it('is watched for a week, and rolled back when it fails', async () => {
    const { log, now, fail } = await rolledOut(CONTROLLER);
    assert.equal(judgedNow(now, Date.now())?.version, V1);
    assert.equal(judgedNow(now, Date.now() + 8 * day), undefined);
    const { verdict } = verdictOn(now, {
      version: V1,
      against: 'router-v1.0.0',
      evidence: failing(150),
      before: failing(0).of(V1),
    });
    assert.equal(verdict, 'fail');
    assert.equal(await fail(), true);
    const back = await log.read();
    assert.deepEqual(deploymentOf(back), { production: 'router-v1.0.0', canary: null });
    assert.equal(back.models.get(V1)?.standing.status, 'rolled_back');
    assert.equal(back.models.get(V1)?.judged?.against, 'router-v1.0.0');
    assert.equal(judgedNow(back, Date.now()), undefined, 'the version before it had its own trial');
  });

  it('is not watched when a person gave it the traffic', async () => {
    const { now } = await rolledOut('asha');
    assert.equal(judgedNow(now, Date.now()), undefined);
  });

  it('is not watched beside the next version on trial, nor after it', async () => {
    const { log, fail } = await rolledOut(CONTROLLER);
    const next = 'router-v1.2.0';
    await log.append((now) => ({ models: register(now, next, blankStanding(2), act) }));
    const on = await log.append((now) => ({ models: setTraffic(now, next, 10, act) }));
    assert.equal(judgedNow(on, Date.now())?.version, next);
    const back = await log.append((now) => ({ models: rollBack(now, next, act) }));
    assert.equal(judgedNow(back, Date.now()), undefined);
    await assert.rejects(fail, /nothing is judged/);
  });

  /** The evidence of 300 conversations, `count` of which failed. */
  function failing(count: number): RolloutEvidence {
    const evidence = new RolloutEvidence([V1]);
    for (let i = 0; i < 300; i++) {
      const captured = conversation({ conversation_id: `f-${i}`, model_version: V1, response_success: i >= count });
      evidence.add({ ...nothing, conversation_id: captured.conversation_id, captured });
    }
    return evidence;
  }
});

describe('the verdict on a step', () => {
  it('rests on its own labels where the version in production has no file and no conversation names it', async () => {
    const { log, note } = await onTrial();
    const evidence = new RolloutEvidence([V1, 'router-v1.0.0']);
    for (let i = 0; i < 60; i++) {
      // Not numbered: texts that differ in digits only are equal, and worth one label.
      const text = { user_message: String.fromCharCode(97 + (i % 26), 97 + Math.floor(i / 26)), nlu_confidence: 0.8 };
      const asked = conversation({ conversation_id: `c-${i}`, model_version: V1, ...text });
      const others = conversation({ conversation_id: `o-${i}`, model_version: null, ...text });
      for (const captured of [asked, others])
        evidence.add({ ...nothing, conversation_id: captured.conversation_id, captured });
      evidence.add({ ...nothing, conversation_id: `c-${i}`, reviewed: review({ conversation_id: `c-${i}` }) });
    }
    const { verdict, reasons } = verdictOn(await log.read(), { version: V1, against: 'router-v1.0.0', evidence });
    assert.equal(verdict, 'success', reasons.join(' '));
    assert.equal(await note(verdict), true);
    assert.equal((await log.read()).models.get(V1)?.standing.traffic_percentage, 25);
  });

  it('is noted when it changes, and fences no other writer when it does not', async () => {
    const { log, note, appends } = await onTrial();
    assert.equal(await note('no-data'), true);
    const events = log.models.length;
    assert.deepEqual([await note('no-data'), await note('no-data')], [false, false]);
    assert.deepEqual([log.models.length, appends()], [events, 1]);
    assert.equal(await note('success'), true);
    assert.equal((await log.read()).models.get(V1)?.standing.traffic_percentage, 25);
    assert.equal(await note('success'), false, 'that step is over');
    assert.equal(appends(), 2);
  });

  it('is noted again when its evidence has doubled, and people see the last one', async () => {
    const { log, note } = await onTrial();
    const none = (conversations: number) =>
      note('no-data', { reason: `None of its ${conversations} conversations.`, events: conversations });
    assert.deepEqual([await none(1000), await none(1999), await none(2000)], [true, false, true]);
    const few = (labels: number, reason = 'It needs 50 labels.') =>
      note('inconclusive', { reason: `${reason} 93.1 % on ${labels}.`, labels, events: 2010 });
    assert.deepEqual([await few(5), await few(9), await few(10)], [true, false, true]);
    assert.deepEqual(rolloutOf(await log.read(), V1).judged?.reasons, ['It needs 50 labels. 93.1 % on 10.']);
    assert.equal(rolloutOf(await log.read(), V1).judged?.labels, 10);
  });

  it('is noted again when its reason is of another kind, but not at each check when the kind alternates', async () => {
    const { log, note } = await onTrial();
    const look = (events: number) =>
      note('inconclusive', { reason: events % 2 ? 'A part has no label.' : `It needs 50, has ${events}.`, events });
    assert.equal(await look(1000), true);
    assert.equal(await look(1101), true);
    const before = log.models.length;
    for (let events = 1102; events < 100_000; events++) await look(events);
    const added = log.models.length - before;
    assert.ok(added > 10 && added < 60, String(added));
  });

  it('has no effect when somebody changes the rollout before it is written', async () => {
    const { note, log } = await onTrial((memory) =>
      memory.append((now) => ({ models: setTraffic(now, V1, 50, { ...act, by: 'asha' }) })),
    );
    assert.equal(await note('fail'), false);
    assert.equal((await log.read()).models.get(V1)?.standing.traffic_percentage, 50);
  });
});
