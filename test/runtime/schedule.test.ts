import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { Cron } from 'croner';
import { pino } from 'pino';
import { ConfigError, readConfig } from '../../config.ts';
import { dailyPage } from '../../jobs/daily-page.ts';
import type { DailyReport } from '../../jobs/daily-report.ts';
import { daysDue } from '../../jobs/daily.ts';
import { failedIn, runAgain, runSteps } from '../../jobs/steps.ts';
import type { StepResult } from '../../jobs/steps.ts';
import { keepTimes } from '../../jobs/timetable.ts';
import type { TimedJob } from '../../jobs/timetable.ts';
import { addDays, isDay } from '../../kpi/day.ts';
import { cohensKappa } from '../../policy/agreement.ts';
import { productionAccuracy } from '../../policy/audit.ts';

const root = path.join(import.meta.dirname, '..', '..');

describe('days', () => {
  it('are calendar days of UTC', () => {
    assert.deepEqual(
      [addDays('2026-02-28', 1), addDays('2024-02-28', 1), addDays('2026-01-01', -1)],
      ['2026-03-01', '2024-02-29', '2025-12-31'],
    );
    assert.deepEqual(['2026-02-28', '2026-02-29', '2026-2-8', 'yesterday'].map(isDay), [true, false, false, false]);
  });

  it('are due from the first day with traffic until yesterday, except closed days; yesterday is always due', () => {
    const closed = (...days: string[]) => new Map(days.map((day) => [day, true]));
    assert.deepEqual(daysDue(closed(), '2026-11-22', '2026-11-25'), ['2026-11-22', '2026-11-23', '2026-11-24']);
    assert.deepEqual(daysDue(closed('2026-11-22'), '2026-11-22', '2026-11-25'), ['2026-11-23', '2026-11-24']);
    assert.deepEqual(daysDue(closed('2026-11-23', '2026-11-24'), '2026-11-22', '2026-11-25'), [
      '2026-11-22',
      '2026-11-24',
    ]);
    // If a day were closed as empty before its traffic arrived, that traffic would be in no report.
    for (const first of [null, '2026-11-25']) assert.deepEqual(daysDue(closed(), first, '2026-11-25'), []);
    assert.equal(daysDue(closed(), '2020-01-01', '2026-11-25').length, 31);
  });
});

describe('the schedule', () => {
  it('is the same in crontab.conf and in the scheduler, and calls scripts that exist', () => {
    const lines = readFileSync(path.join(root, 'crontab.conf'), 'utf8')
      .split('\n')
      .filter((line) => /^[\d*]/.test(line));
    const { jobs } = readConfig({});
    assert.deepEqual(
      lines.map((line) => line.split(/\s+/).slice(0, 5).join(' ')),
      [jobs.daily, jobs.weekly, '0 3 * * 1-6'],
    );
    const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { scripts: object };
    for (const line of lines) assert.ok((/npm run --silent (\S+)/.exec(line)?.[1] ?? '') in scripts, line);
    const [daily, weekly] = [jobs.daily, jobs.weekly].map((at) => new Cron(at, { timezone: 'UTC', paused: true }));
    const wednesday = new Date('2026-11-25T16:00:00Z');
    assert.equal(daily?.nextRun(wednesday)?.toISOString(), '2026-11-26T02:00:00.000Z');
    assert.equal(weekly?.nextRun(wednesday)?.toISOString(), '2026-11-29T03:00:00.000Z');
  });

  it('refuses an invalid pattern and names the variable', () => {
    assert.throws(
      () => readConfig({ SAMVAD_DAILY_AT: 'at two' }),
      (error) => error instanceof ConfigError && /SAMVAD_DAILY_AT is at two/.test(error.message),
    );
  });
});

describe('the steps of a job', () => {
  it('all run in order, whichever of them fail', async () => {
    const step = (name: string, fails: boolean) => ({
      name,
      run: () => (fails ? Promise.reject(new Error(`${name} is broken.`)) : Promise.resolve(`${name} is done.`)),
    });
    const results = await runSteps([step('a', true), step('b', false), step('c', true)], pino({ level: 'silent' }));
    assert.deepEqual(results, [
      { name: 'a', outcome: 'failed', detail: 'a is broken.' },
      { name: 'b', outcome: 'done', detail: 'b is done.' },
      { name: 'c', outcome: 'failed', detail: 'c is broken.' },
    ]);
  });
});

describe('the page of a report', () => {
  it('escapes text from outside', () => {
    const slice = {
      name: '<script>alert(1)</script>',
      conversations: 1,
      auto_approval_rate: 0,
      average_confidence: null,
    };
    const report: DailyReport = {
      ...{ day: '2026-11-24', time_zone: 'UTC', from: '', to: '', closed_at: '' },
      conversations: {
        ...{ conversations: 1, auto_approved: 0, needs_review: 1, priority_review: 0, llm_fallbacks: 0 },
        ...{ auto_approval_rate: 0, average_confidence: null, training_samples: 0, reviews: 0, review_hours: 0 },
      },
      ...{ modules: [slice], languages: [slice], doubtful_intents: [slice] },
      training: { unused: 0, threshold: 1000, reached: false },
      accuracy: {
        from: '',
        to: '',
        all: productionAccuracy([]),
        versions: [{ ...productionAccuracy([]), name: '<b>' }],
        agreement: cohensKappa([]),
      },
      kpis: [],
      late: [],
    };
    const page = dailyPage(report);
    assert.ok(!page.includes('<script') && !page.includes('<td><b>'));
    for (const name of ['&#60;script&#62;', '<td>&#60;b&#62;']) assert.ok(page.includes(name), name);
  });
});

describe('the timetable on a simulated clock', () => {
  const SUNDAY = '2026-11-22T03:00:00.000Z';
  const HOUR = 3_600_000;

  /** A machine that is switched on and off, with jobs that note when they were done as the real ones do. */
  function machine(t: TestContext, since: string) {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.parse(since) });
    const done: string[] = [];
    const at = { daily: Date.now(), weekly: Date.now() };
    const failures = { daily: 0, weekly: 0 };
    const job = (name: keyof typeof at, pattern: string): TimedJob<keyof typeof at> => ({
      name,
      at: pattern,
      missed: (time) => Promise.resolve(at[name] < time),
      run() {
        if (failures[name]-- > 0) return Promise.reject(new Error('The broker is away.'));
        at[name] = Date.now();
        done.push(`${name} ${new Date().toISOString().slice(0, 16)}`);
        return Promise.resolve();
      },
    });
    const jobs = [job('daily', '0 2 * * *'), job('weekly', '0 3 * * 0')];
    /** Settles the promises that follow from a timer before the next timer. */
    const settle = () => new Promise((resolve) => setImmediate(resolve));
    return {
      done,
      failures,
      off: (hours: number) => t.mock.timers.setTime(Date.now() + hours * HOUR),
      on: async (hours: number) => {
        const stop = new AbortController();
        const ended = keepTimes(jobs, { signal: stop.signal, log: pino({ level: 'silent' }), ended: () => undefined });
        await settle();
        for (let minutes = 0; minutes < hours * 60; minutes += 10) {
          t.mock.timers.tick(10 * 60_000);
          await settle();
        }
        stop.abort();
        await ended;
      },
    };
  }

  it('runs a missed weekly job once, and the next one at its usual time', async (t) => {
    const { done, on, off } = machine(t, '2026-11-20T12:00:00Z'); // a Friday
    await on(24);
    off(48); // over Sunday
    await on(1);
    off(1);
    await on(6 * 24);
    assert.deepEqual(
      done.filter((one) => one.startsWith('weekly')),
      ['weekly 2026-11-23T12:00', 'weekly 2026-11-29T03:00'],
    );
    assert.deepEqual(done.slice(0, 3), ['daily 2026-11-21T02:00', 'daily 2026-11-23T12:00', 'weekly 2026-11-23T12:00']);
  });

  it('runs a failed weekly job again after the next daily one', async (t) => {
    const { done, failures, on } = machine(t, new Date(Date.parse(SUNDAY) - HOUR / 2).toISOString());
    failures.weekly = 1;
    await on(48);
    assert.deepEqual(done, ['daily 2026-11-23T02:00', 'weekly 2026-11-23T02:00', 'daily 2026-11-24T02:00']);
  });
});

describe('a job with a failed step', () => {
  const outcomes = (...each: readonly StepResult['outcome'][]) => {
    let runs = 0;
    return {
      run: () => Promise.resolve([{ name: 'sync', outcome: each[runs++] ?? 'failed', detail: '' } as const]),
      runs: () => runs,
    };
  };
  const { signal } = new AbortController();

  it('runs again until no step fails', async () => {
    const job = outcomes('failed', 'failed', 'done');
    assert.deepEqual(failedIn(await runAgain(job.run, [1, 1, 1], signal)), []);
    assert.equal(job.runs(), 3);
  });

  it('gives up after the last wait, and says what failed', async () => {
    const job = outcomes();
    assert.deepEqual(failedIn(await runAgain(job.run, [1, 1], signal)), ['sync']);
    assert.equal(job.runs(), 3);
  });

  it('stops without waiting for its next run', async () => {
    const job = outcomes();
    const stop = new AbortController();
    const ended = runAgain(job.run, [3_600_000], stop.signal);
    stop.abort();
    assert.deepEqual(failedIn(await ended), ['sync']);
    assert.equal(job.runs(), 1);
  });
});
