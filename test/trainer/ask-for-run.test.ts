import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cancelRun, failRun, lastAsked, lastTaken, requestRun, startRun } from '../../policy/training-run.ts';
import { runAt } from '../../policy/trigger.ts';
import { progressInWords, progressOf } from '../../jobs/training-progress.ts';
import { askForRun } from '../../trainer/ask-for-run.ts';
import { memoryModelLog } from './memory-model-log.ts';

const watermark = new Map([[0, 7]]);
const weekly = { trigger: 'weekly', atLeast: 500, fromScratch: false, by: 'test' } as const;

/** The log after a request for a run on `approvals` samples. */
async function askedFor(approvals: number, atLeast?: number, log = memoryModelLog()) {
  const request = { ...runAt('default', approvals), dataSet: 'default', trigger: 'threshold', watermark } as const;
  await log.append((now) => requestRun(now, { ...request, ...(atLeast && { atLeast }) }, { by: 'test', at: 1 }));
  return log;
}

describe('asking for a run', () => {
  it('asks for one where enough samples are unused', async () => {
    const log = await askedFor(1000);
    const all = { total: 1500, unused: 500, watermark };
    assert.deepEqual(await askForRun(log, all, weekly), { run: 'default-1500', unused: 500 });
    assert.deepEqual(await askForRun(log, { ...all, unused: 499 }, weekly), { run: undefined, unused: 499 });
  });

  it('asks for none on samples that another run has taken since they were counted', async () => {
    const log = await askedFor(1500);
    const counted = { total: 1503, unused: 503, watermark };
    assert.deepEqual(await askForRun(log, counted, weekly), { run: undefined, unused: 3 });
    assert.deepEqual((await log.read()).runs.size, 1);
    const fewer = { total: 1400, unused: 1400, watermark };
    assert.deepEqual(await askForRun(log, fewer, { ...weekly, atLeast: 1 }), { run: undefined, unused: 0 });
  });

  it('joins a run on the same samples', async () => {
    const log = await askedFor(1500);
    assert.equal((await askForRun(log, { total: 1500, unused: 500, watermark }, weekly)).run, 'default-1500');
    assert.equal(log.runs.length, 1);
  });

  for (const end of ['failed', 'cancelled'] as const)
    it(`counts the samples of a run that has ${end} as unused, and names it`, async () => {
      const log = await askedFor(1500, 1, await askedFor(1000));
      await log.append((now) => startRun(now, 'default-1500', 'test', 1));
      await log.append((now) =>
        end === 'failed'
          ? failRun(now, 'default-1500', 1, 'disk full', 2)
          : cancelRun(now, 'default-1500', { by: 'asha', at: 2 }),
      );
      const now = await log.read();
      assert.equal(lastAsked(now, 'default').approvals, 1500, 'the threshold does not ask for it again and again');
      assert.equal(lastTaken(now, 'default').approvals, 1000);
      const all = { total: 1500, unused: 500, watermark };
      const few = await askForRun(log, { ...all, total: 1480, unused: 480 }, weekly);
      assert.deepEqual(few, { run: undefined, unused: 480, ended: 'default-1500' });
      assert.equal((await askForRun(log, all, weekly)).run, 'default-1500-anew-1');
      assert.equal((await askForRun(log, all, weekly)).run, 'default-1500-anew-1', 'which is joined');
      assert.equal((await askForRun(log, { ...all, unused: 0 }, weekly)).ended, undefined, 'its samples are in use');
      const run = (await log.read()).runs.get('default-1500-anew-1');
      assert.deepEqual([run?.approvals, run?.from_scratch, run?.trigger], [1500, false, 'weekly']);
    });

  it('does not promise a run of the trainer where the run at the threshold has failed', async () => {
    const log = await askedFor(1000);
    const taken = await log.append((now) => startRun(now, 'default-1000', 'test', 1));
    assert.deepEqual(progressOf(taken, 1050, 1000), { unused: 50, threshold: 1000, reached: false });
    const now = await log.append((before) => failRun(before, 'default-1000', 1, 'disk full', 2));
    const progress = { unused: 1050, threshold: 1000, reached: false, ended: 'default-1000' };
    assert.deepEqual(progressOf(now, 1050, 1000), progress);
    assert.match(progressInWords(progress), /^1,050 of 1,000 .*default-1000 .*`samvad train --resume default-1000`/);
    assert.equal(progressOf(now, 2000, 1000).reached, true);
    assert.match(progressInWords({ ...progress, reached: true }), /A running trainer starts a run/);
  });

  it('starts no second run for a threshold that was decided on before the weekly run', async () => {
    for (const due of [1500, 2000]) {
      const { runs } = await (await askedFor(due, 1000, await askedFor(1503))).read();
      assert.deepEqual([...runs.keys()], ['default-1503']);
    }
  });

  it('starts another run from scratch where no sample is unused, and a further one only when that has ended', async () => {
    const log = await askedFor(1000);
    const all = { total: 1000, unused: 0, watermark };
    const anew = async () =>
      (await askForRun(log, all, { trigger: 'manual', atLeast: 0, fromScratch: true, by: 'asha' })).run;
    assert.deepEqual([await anew(), await anew()], ['default-1000-anew-1', 'default-1000-anew-1']);
    await log.append((now) => cancelRun(now, 'default-1000-anew-1', { by: 'asha', at: 1 }));
    assert.equal(await anew(), 'default-1000-anew-2');
    const now = await log.read();
    assert.deepEqual(
      [...now.runs.values()].map(({ approvals, from_scratch }) => [approvals, from_scratch]),
      [
        [1000, false],
        [1000, true],
        [1000, true],
      ],
    );
    assert.equal(lastAsked(now, 'default').approvals, 1000, 'the threshold continues to count from where it was');
  });

  it('does not join an incremental run when asked for one from scratch, and joins one from scratch', async () => {
    const wish = { trigger: 'manual', atLeast: 0, fromScratch: true, by: 'asha' } as const;
    const counted = { total: 2000, unused: 1000, watermark };
    const overtaken = await askedFor(2000, 1, await askedFor(1000));
    assert.equal((await askForRun(overtaken, counted, wish)).run, 'default-2000-anew-1');
    const fewer = { total: 1900, unused: 900, watermark };
    assert.equal((await askForRun(overtaken, fewer, wish)).run, 'default-1900', 'counted before more was asked for');
    const alone = await askedFor(1000);
    for (const unused of [1000, 0])
      assert.equal((await askForRun(alone, { ...counted, unused }, wish)).run, 'default-2000');
    assert.equal((await alone.read()).runs.size, 2);
  });
});
