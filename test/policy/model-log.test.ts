import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  blankStanding,
  deploymentOf,
  emptyLog,
  firstModel,
  foldLog,
  judgedEvent,
  measuredEvent,
  nextVersion,
  register,
  ModelLogRefused,
  rollBack,
  setTraffic,
} from '../../policy/model-log.ts';
import type { ModelLog } from '../../policy/model-log.ts';
import type { ModelEvent } from '../../schemas/types.ts';

const act = { by: 'test', reason: 'because', at: 5 };
const start = foldLog(emptyLog, { models: [firstModel()] });
const then = (log: ModelLog, models: readonly ModelEvent[]) => foldLog(log, { models });
const withVersions = (...versions: string[]) =>
  versions.reduce((log, version) => then(log, register(log, version, blankStanding(1), act)), start);
const says = (pattern: RegExp) => (error: unknown) => error instanceof ModelLogRefused && pattern.test(error.message);

describe('model log', () => {
  it('begins with the version from before the first training', () => {
    assert.deepEqual(deploymentOf(start), { production: 'router-v1.0.0', canary: null });
    assert.equal(nextVersion(start), 'router-v1.1.0');
    assert.equal(nextVersion(withVersions('router-v1.1.0', 'router-v1.9.0')), 'router-v1.10.0');
  });

  it('registers a version once', () => {
    const of = (run_id: string | null) => ({ ...blankStanding(9), run_id });
    const log = then(start, register(start, 'router-v1.1.0', of('default-1000'), act));
    assert.deepEqual(register(log, 'router-v1.1.0', of('default-1000'), act), []);
  });

  it('refuses to register a version again for another run or without a run', () => {
    const of = (run_id: string | null) => ({ ...blankStanding(9), run_id });
    for (const [first, second] of [
      ['default-1000', 'default-2000'],
      [null, 'default-2000'],
      ['default-1000', null],
      [null, null],
    ] as const) {
      const log = then(start, register(start, 'router-v1.1.0', of(first), act));
      assert.throws(() => register(log, 'router-v1.1.0', of(second), act), says(/router-v1.1.0 is another model/));
    }
  });

  it('takes a canary step by step into production, with at most one version in production after each event', () => {
    let log = withVersions('router-v1.1.0');
    for (const traffic of [10, 25, 50, 100])
      for (const event of setTraffic(log, 'router-v1.1.0', traffic, act, [{ partition: 0, next_offset: 7 }])) {
        log = then(log, [event]);
        const standings = [...log.models.values()].map(({ standing }) => standing);
        assert.ok(standings.filter(({ status }) => status === 'production').length <= 1);
        assert.ok(standings.reduce((sum, s) => sum + s.traffic_percentage, 0) <= 100);
      }
    assert.deepEqual(deploymentOf(log), { production: 'router-v1.1.0', canary: null });
    assert.equal(log.models.get('router-v1.0.0')?.standing.status, 'retired');
    assert.deepEqual(log.models.get('router-v1.1.0')?.standing.step_from, [{ partition: 0, next_offset: 7 }]);
  });

  it('rolls a canary back to production, and production back to the version before', () => {
    let log = withVersions('router-v1.1.0', 'router-v1.2.0');
    log = then(log, setTraffic(log, 'router-v1.1.0', 10, act));
    assert.throws(() => setTraffic(log, 'router-v1.2.0', 10, act), says(/router-v1.1.0 is on trial with 10 %/));
    const back = then(log, rollBack(log, 'router-v1.1.0', act));
    assert.deepEqual(deploymentOf(back), { production: 'router-v1.0.0', canary: null });
    log = then(log, setTraffic(log, 'router-v1.1.0', 100, act));
    log = then(log, setTraffic(log, 'router-v1.2.0', 100, act));
    log = then(log, rollBack(log, 'router-v1.2.0', act));
    assert.equal(deploymentOf(log).production, 'router-v1.1.0');
    log = then(log, rollBack(log, 'router-v1.1.0', act));
    assert.equal(deploymentOf(log).production, 'router-v1.0.0');
    assert.throws(() => rollBack(log, 'router-v1.0.0', act), says(/no version to go back to/));
  });

  it('numbers the events of a version, and keeps verdicts and measurements', () => {
    let log = withVersions('router-v1.1.0');
    const verdict = {
      verdict: 'no-data',
      reasons: ['none'],
      labels: 0,
      against: 'router-v1.0.0',
      traffic_percentage: 10,
      from: [],
      to: [],
    };
    log = then(log, [judgedEvent(log, 'router-v1.1.0', verdict, 3)]);
    const measured = measuredEvent(
      log,
      'router-v1.1.0',
      0.9,
      { answers: 40, low: 0.8, high: 0.95, naive: 0.7, from_day: '2026-10-06', to_day: '2026-11-04' },
      act,
    );
    assert.equal(measured.event_id, 'router-v1.1.0/3');
    log = then(log, [measured]);
    assert.equal(log.models.get('router-v1.1.0')?.standing.production_accuracy, 0.9);
    assert.deepEqual(log.models.get('router-v1.1.0')?.judged, { ...verdict, at: 3 });
  });

  it('refuses an impossible change and says why', () => {
    const log = withVersions('router-v1.1.0');
    assert.throws(
      () => setTraffic(log, 'router-v7.0.0', 10, act),
      says(/no version router-v7.0.0. There are: router-v1.0.0, router-v1.1.0/),
    );
    assert.throws(() => setTraffic(log, 'router-v1.0.0', 10, act), says(/in production already/));
    assert.throws(() => setTraffic(log, 'router-v1.1.0', 0, act), says(/traffic is 0/));
    assert.throws(() => rollBack(log, 'router-v1.1.0', act), says(/is trained and has no traffic/));
    assert.throws(() => deploymentOf(emptyLog), says(/No version is in production/));
  });
});
