import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blankStanding, CONTROLLER, deploymentOf, register, rollBack, setTraffic } from '../../policy/model-log.ts';
import type { StepVerdict } from '../../policy/rollout.ts';
import { judgedNow, keyOf, nextCandidate, noteVerdict, verdictOn } from '../../trainer/deployment-controller.ts';
import type { ModelLogPort } from '../../trainer/model-log.ts';
import { RolloutEvidence } from '../../trainer/rollout-evidence.ts';
import { conversation, review } from '../fixtures.ts';
import { memoryModelLog } from './memory-model-log.ts';

const act = { by: CONTROLLER, reason: 'It is better.', at: 5 };
const V1 = 'router-v1.1.0';
const nothing = { captured: null, reviewed: null, policy: null, erased: null };

/**
 * A log with `V1` on trial, a way to note a verdict on its step, and how often somebody has appended, which shuts out whoever
 * else is about to. `meanwhile` happens between the decision to append and the append.
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
  const step = { key: keyOf(record), version: V1, against: 'router-v1.0.0', upTo: new Map([[0, 7]]) };
  const note = (verdict: StepVerdict['verdict']) =>
    noteVerdict(log, step, { verdict, reasons: [verdict] }, () => Promise.resolve([{ partition: 0, next_offset: 9 }]));
  return { log, note, appends: () => appends };
}

describe('the next version on trial', () => {
  const hand = { by: 'asha', reason: 'complaints', at: 6 };

  /** The log after v1.1 came into production, and v1.2 and v1.3, both found better, were trained; v1.3 is on trial. */
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

  it('is no older one when a person has rolled one back, so that production can be rolled back too', async () => {
    const { log, add } = await twoCandidates();
    const back = await log.append((now) => ({ models: rollBack(now, 'router-v1.3.0', hand) }));
    assert.equal(nextCandidate(back), undefined);
    const before = await log.append((now) => ({ models: rollBack(now, V1, hand) }));
    assert.deepEqual(deploymentOf(before), { production: 'router-v1.0.0', canary: null });
    assert.equal(nextCandidate(await add('router-v1.4.0', null, 4)), 'router-v1.4.0');
  });

  it('is an older one when the controller itself has rolled one back', async () => {
    const { log } = await twoCandidates();
    const back = await log.append((now) => ({ models: rollBack(now, 'router-v1.3.0', act) }));
    assert.equal(nextCandidate(back), 'router-v1.2.0');
  });

  it('may be any by hand', async () => {
    const { log } = await twoCandidates();
    await log.append((now) => ({ models: rollBack(now, 'router-v1.3.0', hand) }));
    const now = await log.append((before) => ({ models: setTraffic(before, 'router-v1.2.0', 10, hand) }));
    assert.equal(deploymentOf(now).canary?.version, 'router-v1.2.0');
  });
});

describe('a version that its rollout gave all the traffic', () => {
  const day = 24 * 60 * 60 * 1000;

  /** The log after a rollout that `by` ended, and a way to note that production fails. */
  async function rolledOut(by: string) {
    const { log } = await onTrial();
    await log.append((now) => ({ models: setTraffic(now, V1, 50, act) }));
    const before = judgedNow(await log.read(), Date.now());
    assert.ok(before);
    const step = { key: keyOf(before), version: V1, against: 'router-v1.0.0', upTo: new Map([[0, 7]]) };
    const readEnds = () => Promise.resolve([{ partition: 0, next_offset: 9 }]);
    if (by === CONTROLLER) await noteVerdict(log, step, { verdict: 'success', reasons: ['Good.'] }, readEnds);
    else await log.append((now) => ({ models: setTraffic(now, V1, 100, { ...act, by, at: Date.now() }) }));
    const now = await log.read();
    assert.equal(deploymentOf(now).production, V1);
    const fail = async () => {
      const record = judgedNow(await log.read(), Date.now());
      assert.ok(record);
      const again = { ...step, key: keyOf(record) };
      return noteVerdict(log, again, { verdict: 'fail', reasons: ['Failed responses.'] }, readEnds);
    };
    return { log, now, fail };
  }

  it('is watched for a week, and taken back when it fails', async () => {
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
    assert.equal(judgedNow(back, Date.now()), undefined, 'what was there before had its trial');
  });

  it('is not watched where a person gave it the traffic', async () => {
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
    await assert.rejects(fail);
  });

  /** 300 conversations of it, so many of which failed. */
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
  it('is given on its own labels where what is in production has no file and no conversation names it', async () => {
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

  it('is noted when it changes, and nobody is shut out of the log where it does not', async () => {
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

  it('is not acted on when somebody changes the rollout before it is written', async () => {
    const { note, log } = await onTrial((memory) =>
      memory.append((now) => ({ models: setTraffic(now, V1, 50, { ...act, by: 'asha' }) })),
    );
    assert.equal(await note('fail'), false);
    assert.equal((await log.read()).models.get(V1)?.standing.traffic_percentage, 50);
  });
});
