import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cancelRun } from '../../policy/training-run.ts';
import { askForRun } from '../../trainer/ask-for-run.ts';
import { lastAsked } from '../../trainer/trainer.ts';
import { memoryModelLog } from './memory-model-log.ts';

const wish = { trigger: 'manual', by: 'asha' } as const;
const all = (unused: number) => ({ total: 1000, unused, watermark: new Map([[0, 1200]]) });

describe('asking for a run', () => {
  it('gives one on the same samples, however often it is asked for', async () => {
    const log = memoryModelLog();
    for (const unused of [1000, 0])
      assert.equal(await askForRun(log, all(unused), { ...wish, fromScratch: false }), 'default-1000');
    assert.equal((await log.read()).runs.size, 1);
  });

  it('gives one more from nothing where no sample is unused, and a further one only when that has ended', async () => {
    const log = memoryModelLog();
    await askForRun(log, all(1000), { ...wish, fromScratch: false });
    const anew = () => askForRun(log, all(0), { ...wish, fromScratch: true });
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
    assert.equal(lastAsked(now).approvals, 1000, 'the threshold counts on from where it was');
  });
});
