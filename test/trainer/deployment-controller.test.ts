import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blankStanding, register, setTraffic } from '../../policy/model-log.ts';
import type { StepVerdict } from '../../policy/rollout.ts';
import { keyOf, noteVerdict } from '../../trainer/deployment-controller.ts';
import { memoryModelLog } from './memory-model-log.ts';

const act = { by: 'deployment-controller', reason: 'It is better.', at: 5 };
const V1 = 'router-v1.1.0';

/** A log with `V1` on trial, its step, and how often somebody has appended, which shuts out whoever else is about to. */
async function onTrial() {
  const memory = memoryModelLog();
  await memory.append((now) => ({ models: register(now, V1, blankStanding(1), act) }));
  const { models } = await memory.append((now) => ({ models: setTraffic(now, V1, 10, act) }));
  const record = models.get(V1);
  assert.ok(record);
  let appends = 0;
  const log: typeof memory = {
    ...memory,
    append: (decide) => {
      appends++;
      return memory.append(decide);
    },
  };
  const step = { key: keyOf(record), version: V1, against: 'router-v1.0.0', upTo: new Map([[0, 7]]) };
  const note = (verdict: StepVerdict['verdict']) =>
    noteVerdict(log, step, { verdict, reasons: [verdict] }, () => Promise.resolve([{ partition: 0, next_offset: 9 }]));
  return { log, memory, note, appends: () => appends };
}

describe('the verdict on a step', () => {
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
    const { memory, note, log } = await onTrial();
    const { append } = log;
    log.append = async (decide) => {
      await memory.append((now) => ({ models: setTraffic(now, V1, 50, { ...act, by: 'asha' }) }));
      return append(decide);
    };
    assert.equal(await note('fail'), false);
    assert.equal((await log.read()).models.get(V1)?.standing.traffic_percentage, 50);
  });
});
