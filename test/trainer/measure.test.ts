import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { productionAccuracy } from '../../policy/audit.ts';
import type { AuditCell } from '../../policy/audit.ts';
import { blankStanding, register, setTraffic } from '../../policy/model-log.ts';
import { recordAccuracy } from '../../trainer/rollout/measure.ts';
import { memoryModelLog } from './memory-model-log.ts';

const version = 'router-v1.0.0';
const audited: AuditCell = {
  route: 'auto-approved',
  propensity: 0.05,
  band: 13,
  conversations: 1000,
  chosen: 50,
  right: 45,
  wrong: 5,
  unusable: 0,
  squares: 50,
};
const report = (cells: readonly AuditCell[]) => ({
  from: '2026-10-06',
  to: '2026-11-04',
  versions: [{ name: version, ...productionAccuracy(cells) }],
});

describe('production accuracy in the model log', () => {
  it('is noted once, and removed when it can no longer be known', async () => {
    const log = memoryModelLog();
    const note = (cells: readonly AuditCell[]) => recordAccuracy(log, report(cells), { by: 'test', at: 1 });
    const figure = async () => (await log.read()).models.get(version)?.standing.production_accuracy;
    assert.deepEqual(await note([audited]), [version]);
    assert.equal(await figure(), 0.9);
    assert.deepEqual(await note([audited]), []);
    const unseen = { ...audited, propensity: 0, chosen: 0, right: 0, wrong: 0 };
    assert.deepEqual(await note([audited, unseen]), [version]);
    assert.equal(await figure(), null);
    assert.deepEqual(log.models.at(-1)?.measured?.answers, 50);
    assert.deepEqual(await note([audited, unseen]), []);
  });

  it('is removed, once, from a version with traffic that no conversation of the window names, and from no other', async () => {
    const log = memoryModelLog();
    const act = { by: 'test', reason: 'It is better.', at: 2 };
    const note = (report: Parameters<typeof recordAccuracy>[1]) => recordAccuracy(log, report, { by: 'test', at: 1 });
    const figure = async (name: string) => (await log.read()).models.get(name)?.standing.production_accuracy;
    const [next, days] = ['router-v1.1.0', { from: '2026-10-06', to: '2026-11-04' }];
    await log.append((now) => ({ models: register(now, next, blankStanding(1), act) }));
    const both = [version, next].map((name) => ({ name, ...productionAccuracy([audited]) }));
    await note({ ...days, versions: both });
    assert.deepEqual(await note({ ...days, versions: [] }), [version]);
    assert.deepEqual([await figure(version), await figure(next)], [null, 0.9]);
    assert.deepEqual(log.models.at(-1)?.measured, {
      ...{ by: 'test', answers: 0, low: 0, high: 1, naive: null, from_day: days.from, to_day: days.to },
    });
    assert.deepEqual(await note({ ...days, versions: [] }), []);
  });

  it('stays when a version without traffic has nothing left in the window', async () => {
    const log = memoryModelLog();
    const note = (cells: readonly AuditCell[]) => recordAccuracy(log, report(cells), { by: 'test', at: 1 });
    await note([audited]);
    const act = { by: 'test', reason: 'It is better.', at: 2 };
    await log.append((now) => ({ models: register(now, 'router-v1.1.0', blankStanding(1), act) }));
    await log.append((now) => ({ models: setTraffic(now, 'router-v1.1.0', 100, act) }));
    assert.deepEqual(await note([{ ...audited, conversations: 9, chosen: 0, right: 0, wrong: 0 }]), []);
    assert.equal((await log.read()).models.get(version)?.standing.production_accuracy, 0.9);
  });
});
