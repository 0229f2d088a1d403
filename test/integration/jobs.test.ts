import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { contextOf, startComponents } from '../../app/components.ts';
import type { RunningComponents } from '../../app/components.ts';
import { producerOptions } from '../../app/environment.ts';
import { startHttp } from '../../app/http.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { closeDays, readClosedDays } from '../../jobs/closed-days.ts';
import { runDaily } from '../../jobs/daily.ts';
import type { DailyOptions } from '../../jobs/daily.ts';
import type { DailyReport } from '../../jobs/daily-report.ts';
import { failedIn } from '../../jobs/steps.ts';
import type { StepResult } from '../../jobs/steps.ts';
import { missedWeekly, runWeekly } from '../../jobs/weekly.ts';
import { addDays, dayOf } from '../../kpi/day.ts';
import { readAccuracy } from '../../kpi/read-accuracy.ts';
import { readKpis } from '../../kpi/read-kpis.ts';
import type { KpiList } from '../../kpi/read-kpis.ts';
import { confidenceBand, productionAccuracy } from '../../policy/audit.ts';
import { groupBy } from '../../policy/group-by.ts';
import type { AuditCell, ProductionAccuracy } from '../../policy/audit.ts';
import { blankStanding, register, rollBack, setTraffic } from '../../policy/model-log.ts';
import { normalise } from '../../policy/review-priority.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { ingestJsonl } from '../../producers/jsonl.ts';
import { readTopic, topicEnds } from '../../runtime/read-topic.ts';
import { digestTable, rebuildProjection } from '../../runtime/rebuild.ts';
import { dailyReports } from '../../sinks/daily-reports.ts';
import { topics } from '../../topology.ts';
import { openArtifactFolder } from '../../trainer/artifacts.ts';
import { writeModel } from '../../trainer/learning/onnx-writer.ts';
import { train } from '../../trainer/learning/train.ts';
import { openModelLog } from '../../trainer/model-log.ts';
import { conversation } from '../fixtures.ts';
import { quick, samples } from '../trainer/samples.ts';
import { endAll, startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const root = path.join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

const DAY_MS = 24 * 60 * 60 * 1000;

describe('the jobs on real servers', () => {
  let stack: Stack;
  let components: RunningComponents;
  /** The last day of the example traffic. */
  let day: string;
  let reports: string;

  async function row<R extends object>(sql: string, values: unknown[] = []): Promise<R> {
    const { rows } = await stack.prepared.pool.query<R>(sql, values);
    assert.ok(rows[0]);
    return rows[0];
  }

  before(async () => {
    stack = await startStack();
    reports = path.join(stack.home, 'reports');
    const { prepared } = stack;
    components = await startComponents(['pipeline'], prepared);
    const producer = await createConversationProducer(producerOptions(prepared));
    const examples = path.join(root, 'examples');
    await ingestJsonl({ file: path.join(examples, 'conversations.jsonl'), kind: 'conversation', producer });
    await ingestJsonl({ file: path.join(examples, 'reviews.jsonl'), kind: 'review', producer });
    await producer.close();
    await untilCaughtUp(prepared.servers, prepared.pool);
    day = dayOf((await row<{ last: Date }>('SELECT max(created_at) AS last FROM conversation_logs')).last.getTime());
  });
  after(() =>
    endAll(
      () => components.stop(),
      () => stack.stop(),
    ),
  );

  it('shows the key figures that daily_training_stats adds up to', async () => {
    const { kpis } = await readKpis(stack.prepared.pool, day);
    const of = (name: string) => kpis.find((kpi) => kpi.name === name)?.value ?? Number.NaN;
    const week = await row<Record<'auto' | 'confidence' | 'fallback' | 'hours', number>>(
      `SELECT (sum(auto_approved) / sum(conversations))::float8 AS auto,
              (sum(average_confidence * with_confidence) / sum(with_confidence))::float8 AS confidence,
              (sum(llm_fallbacks) / sum(conversations))::float8 AS fallback,
              sum(review_hours)::float8 AS hours
         FROM daily_training_stats WHERE date > $1::date - 7 AND date <= $1::date`,
      [day],
    );
    const close = (name: string, expected: number) => assert.ok(Math.abs(of(name) - expected) < 1e-9, name);
    close('auto-approval-rate', week.auto);
    close('average-confidence', week.confidence);
    close('llm-fallback-rate', week.fallback);
    close('review-hours', week.hours);
    assert.ok(week.hours > 0);
    const waiting = await row<{ first: number; all: number }>(
      "SELECT count(*) FILTER (WHERE answered_by = '[]')::int AS first, count(*)::int AS all FROM review_queue",
    );
    assert.equal(of('queue'), waiting.first);
    const earlier = await row<{ waiting: number }>(
      `SELECT count(*)::int AS waiting FROM conversation_logs
        WHERE created_at < $1::date - 6 AND (route <> 'auto-approved' OR audit) AND (reviewed_at IS NULL OR reviewed_at >= $1::date - 6)`,
      [day],
    );
    assert.ok(earlier.waiting > 0);
    assert.equal(kpis.find(({ name }) => name === 'queue')?.before, earlier.waiting);
    assert.ok(waiting.all > waiting.first, 'some wait for a second person only');
    const model = await row<{ accuracy: number }>(
      "SELECT test_accuracy AS accuracy FROM model_versions WHERE status = 'production'",
    );
    assert.equal(of('test-accuracy'), model.accuracy);
  });

  it('counts answers on a day without conversations, and compares an unfinished day with the same part of the week before', async () => {
    const { pool } = stack.prepared;
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('DELETE FROM conversation_logs');
      await client.query('DELETE FROM conversation_reviews');
      const hour = (n: number) => new Date(Date.parse(day) + n * 3_600_000);
      await client.query(
        `INSERT INTO conversation_reviews (place, conversation_id, verdict, reviewer, time_taken_ms, reviewed_at, log_partition, log_offset)
         SELECT i, 'c', 'approve', 'asha', 360000, at, 0, i FROM unnest($1::timestamptz[]) WITH ORDINALITY AS t (at, i)`,
        [[hour(10), hour(10 - 7 * 24), hour(14 - 7 * 24)]],
      );
      const { rows } = await client.query(
        'SELECT date::text, conversations::int, auto_approval_rate, reviews::int FROM daily_training_stats ORDER BY date',
      );
      assert.deepEqual(rows, [
        { date: addDays(day, -7), conversations: 0, auto_approval_rate: null, reviews: 2 },
        { date: day, conversations: 0, auto_approval_rate: null, reviews: 1 },
      ]);
      const hours = async (time: Date) => {
        const kpi = (await readKpis(client, day, time.getTime())).kpis.find(({ name }) => name === 'review-hours');
        return [kpi?.value, kpi?.before].map((value) => value?.toFixed(2));
      };
      assert.deepEqual(await hours(hour(12)), ['0.10', '0.10']);
      assert.deepEqual(await hours(hour(30)), ['0.10', '0.20']);
      await client.query('DELETE FROM conversation_reviews WHERE reviewed_at < $1', [hour(0)]);
      assert.deepEqual(
        await hours(hour(30)),
        ['0.10', undefined],
        'there is no figure for a week before the first answer',
      );
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  it('compares the version in production with the last one before it', async () => {
    const client = await stack.prepared.pool.connect();
    try {
      await client.query('BEGIN; DELETE FROM model_versions; DELETE FROM model_deployments');
      // Version 1, 2, 3, then 2 again, then 4.
      await client.query(
        `INSERT INTO model_versions (version, status, traffic_percentage, test_accuracy, deployed_at, reasons, training_samples, created_at, log_partition, log_offset)
         SELECT 'router-v1.' || v || '.0', CASE v WHEN 4 THEN 'production' ELSE 'retired' END, 0, accuracy, now() + at * interval '1 hour', '[]', 0, now(), 0, at
           FROM (VALUES (1, 0.7, 1), (2, 0.8, 2), (3, 0.75, 3), (4, 0.9, 5)) AS t (v, accuracy, at)`,
      );
      await client.query(
        `INSERT INTO model_deployments (id, version, status, traffic_percentage, deployed_by, reason, deployed_at, log_partition, log_offset)
         SELECT at::text, 'router-v1.' || v || '.0', 'production', 100, 'asha', '', now(), 0, at FROM unnest(array[1, 2, 3, 2, 4]) WITH ORDINALITY AS t (v, at)`,
      );
      const { kpis } = await readKpis(client, day);
      const test = kpis.find(({ name }) => name === 'test-accuracy');
      assert.deepEqual([test?.value, test?.before], [0.9, 0.8]);
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  it('shows the interval of trainings from two of them, or from one that is a week old', async () => {
    const client = await stack.prepared.pool.connect();
    try {
      await client.query('BEGIN');
      const finish = (days: number) =>
        client.query(
          `INSERT INTO training_runs (run_id, data_set, trigger, status, attempt, approvals, reasons, epoch, epochs, requested_at, finished_at, log_partition, log_offset)
           VALUES ($1::text, 'default', 'manual', 'finished', 1, 1, '[]', 1, 1, now(), now() - $1::text::int * interval '1 day', 0, 0)`,
          [days],
        );
      const interval = async () => {
        const { kpis } = await readKpis(client, dayOf(Date.now()));
        return kpis.find(({ name }) => name === 'training-interval')?.value?.toFixed(1);
      };
      await finish(2);
      assert.equal(await interval(), undefined);
      await finish(11);
      assert.equal(await interval(), '9.0');
      await client.query("DELETE FROM training_runs WHERE run_id = '2'");
      assert.equal(await interval(), '11.0');
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  it('shows the same key figures over HTTP and on the command line', async () => {
    const { prepared } = stack;
    const http = { host: '127.0.0.1', port: 0 };
    const server = await startHttp({ ...prepared, config: { ...prepared.config, http } }, components);
    const response = await fetch(`${server.url}/v1/kpis?date=${day}`);
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), JSON.parse(JSON.stringify(await readKpis(stack.prepared.pool, day))));
    assert.match(response.headers.get('age') ?? '', /^\d+$/);
    const refused = await fetch(`${server.url}/v1/kpis?date=2026-02-30`);
    assert.equal(refused.status, 400);
    assert.match(((await refused.json()) as { detail: string }).detail, /date is "2026-02-30"/);
    const today = (await (await fetch(`${server.url}/v1/kpis`)).json()) as KpiList;
    const env = { ...process.env, ...stack.env };
    const bin = path.join(root, 'bin', 'samvad.js');
    const { stdout } = await run(process.execPath, [bin, 'status', '--json'], { env });
    assert.deepEqual((JSON.parse(stdout) as KpiList).kpis, today.kpis);
    assert.match((await run(process.execPath, [bin, 'status'], { env })).stdout, /Training queue +\d/);
    await server.stop();
  });

  it('weights the answers of production by the traffic that they represent, by version, intent and language', async () => {
    const { pool } = stack.prepared;
    const range = { from: '2000-01-01', to: day };
    const report = await readAccuracy(pool, range);
    const { rows } = await pool.query<Turn>(
      `SELECT route, coalesce(audit_propensity, 1) AS propensity, nlu_confidence AS confidence,
              route <> 'auto-approved' OR audit AS chosen, verdict, language,
              user_message, nlu_module || '/' || nlu_intent AS label FROM conversation_logs`,
    );
    assert.deepEqual(rounded(report.all), rounded(productionAccuracy(cellsOf(rows))));
    const [hindi] = report.languages.filter(({ name }) => name === 'hi');
    assert.ok(hindi && report.all.answers > 200 && report.all.corrected !== null && report.all.naive !== null);
    const { name, ...figures } = hindi;
    assert.equal(name, 'hi');
    assert.deepEqual(
      rounded(figures),
      rounded(productionAccuracy(cellsOf(rows.filter(({ language }) => language === 'hi')))),
    );
    const total = (slices: readonly { conversations: number }[]) =>
      slices.reduce((sum, { conversations }) => sum + conversations, 0);
    assert.deepEqual([total(report.intents), total(report.languages)], [rows.length, rows.length]);
    assert.ok(report.all.corrected > report.all.naive);

    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      const { rowCount } = await client.query(
        "UPDATE conversation_logs SET model_version = 'router-v1.0.0' WHERE nlu_provider = 'llm'",
      );
      assert.ok(rowCount);
      const asked = await readAccuracy(client, range);
      assert.deepEqual(asked.versions, report.versions, 'answers of the LLM do not count for the version');
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  });

  it('closes finished days, shows the measured accuracy, and writes the same files again', async () => {
    const { prepared } = stack;
    const first = await daily({ now: Date.parse(day) + 1.5 * DAY_MS });
    assert.deepEqual(
      first.steps.map(({ name, outcome }) => [name, outcome]),
      ['catch up', 'measure accuracy', 'label studio', 'training threshold', 'reports'].map((name) => [name, 'done']),
    );
    const files = await readFiles();
    assert.deepEqual([...files.keys()].sort(), first.days.flatMap((one) => [`${one}.html`, `${one}.json`]).sort());
    assert.ok(first.days.length > 1 && first.days.at(-1) === day);
    const report = JSON.parse(files.get(`${day}.json`) ?? '') as DailyReport;
    const stats = await row<{ conversations: number; auto: number; samples: number }>(
      `SELECT conversations::int, auto_approved::int AS auto,
              (SELECT count(*)::int FROM training_samples WHERE (approved_at AT TIME ZONE 'UTC')::date = $1::date) AS samples
         FROM daily_training_stats WHERE date = $1::date`,
      [day],
    );
    assert.deepEqual(
      [report.conversations.conversations, report.conversations.auto_approved, report.conversations.training_samples],
      [stats.conversations, stats.auto, stats.samples],
    );
    const versions = await row<{ measured: number }>(
      "SELECT production_accuracy AS measured FROM model_versions WHERE status = 'production'",
    );
    assert.equal(report.accuracy.versions.find(({ name }) => name === 'router-v1.0.0')?.corrected, versions.measured);
    assert.match(files.get(`${day}.html`) ?? '', /<title>Samvad, .*Auto-approval rate/s);

    // A conversation of that day arrives late; the day stays closed as it was, also on another machine.
    const producer = await createConversationProducer(producerOptions(prepared));
    const late = conversation({ conversation_id: 'late-1', created_at: Date.parse(day) + 1000 });
    await producer.send({ kind: 'conversation', record: late });
    await producer.close();
    await rm(reports, { recursive: true });
    const again = await daily({ now: Date.parse(day) + 1.6 * DAY_MS });
    assert.deepEqual(again.days, [day]);
    assert.deepEqual(await readFiles(), new Map([...files].filter(([name]) => name.startsWith(day))));
    assert.match(again.steps.at(-1)?.detail ?? '', /0 closed now/);

    // Somebody approves a conversation of that day after it was closed.
    const { conversation_id } = await row<{ conversation_id: string }>(
      `SELECT conversation_id FROM conversation_logs
        WHERE review_status = 'needs-review' AND (created_at AT TIME ZONE 'UTC')::date = $1::date LIMIT 1`,
      [day],
    );
    const reviewer = await createConversationProducer(producerOptions(prepared));
    const reviewed_at = new Date(Date.parse(day) + 1.1 * DAY_MS);
    await reviewer.submitReview({ conversation_id, verdict: 'approve', reviewer: 'asha', reviewed_at });
    await reviewer.close();

    const next = await daily({ now: Date.parse(day) + 2.5 * DAY_MS });
    const following = addDays(day, 1);
    assert.deepEqual(next.days, [following]);
    const after = JSON.parse((await readFiles()).get(`${following}.json`) ?? '') as DailyReport;
    assert.deepEqual([after.conversations.conversations, after.late], [0, [{ day, conversations: 1 }]]);
    assert.deepEqual([after.conversations.reviews, after.conversations.training_samples], [1, 1]);
  });

  it('reports late conversations once, however late they are', async () => {
    const lateIn = async (n: number) => {
      await daily({ now: Date.parse(day) + (n + 1.5) * DAY_MS, day: addDays(day, n) });
      return (JSON.parse((await readFiles()).get(`${addDays(day, n)}.json`) ?? '') as DailyReport).late;
    };
    const producer = await createConversationProducer(producerOptions(stack.prepared));
    const created_at = Date.parse(day) + 2000;
    await producer.send({ kind: 'conversation', record: conversation({ conversation_id: 'late-2', created_at }) });
    await producer.close();
    assert.deepEqual(await lateIn(20), [{ day, conversations: 1 }]);
    assert.deepEqual(await lateIn(21), []);
  });

  it('closes and measures nothing while the pipeline has not caught up; the next run does', async () => {
    const at = { now: Date.parse(day) + 23.5 * DAY_MS, day: addDays(day, 22) };
    const closed = () => readClosedDays(contextOf(stack.prepared, 'daily'));
    const measured = () => topicEnds(stack.prepared.servers.kafka, topics.modelEvents.name);
    const before = [await closed(), await measured()];
    await row(
      "UPDATE conversation_logs SET verdict = 'approve' WHERE audit AND verdict IS NULL RETURNING conversation_id",
    );
    const { days, steps } = await daily(at, () => Promise.reject(new Error('x')));
    assert.deepEqual([failedIn(steps), days], [['catch up', 'measure accuracy', 'reports'], []]);
    assert.match(steps.at(-1)?.detail ?? '', new RegExp(`so ${at.day} stays open`));
    assert.deepEqual([await closed(), await measured()], before);
    assert.deepEqual((await daily(at)).days, [at.day]);
    assert.ok((await closed()).has(at.day));
  });

  it('closes missed days later, and refuses a day that is not over', async () => {
    const { days } = await daily({ now: Date.parse(day) + 5.5 * DAY_MS });
    assert.deepEqual(
      days,
      [2, 3, 4].map((n) => addDays(day, n)),
    );
    await assert.rejects(daily({ now: Date.parse(day), day }), /is not over .*from tomorrow on/);
  });

  it('closes days once when several processes try at the same time', async () => {
    const context = contextOf(stack.prepared, 'daily');
    const days = [-300, -299].map((n) => addDays(day, n));
    const reportOf = (one: string) => JSON.stringify({ day: one, conversations: { conversations: 0 }, late: [] });
    const closed = await readClosedDays(context);
    const stand = await Promise.all(
      [1, 2, 3].map((closed_at) =>
        closeDays(context, closed, days, (open) =>
          Promise.resolve(open.map((one) => ({ day: one, closed_at, report: reportOf(one) }))),
        ),
      ),
    );
    assert.equal(new Set(stand.flatMap((all) => days.map((one) => all.get(one)?.closed_at))).size, 1);
  });

  it('continues when one step fails, and says so', async () => {
    const { days, steps } = await daily({
      now: Date.parse(day) + 6.5 * DAY_MS,
      labelStudio: () => Promise.reject(new Error('Label Studio does not answer.')),
    });
    assert.deepEqual(
      steps.filter(({ outcome }) => outcome === 'failed'),
      [{ name: 'label studio', outcome: 'failed', detail: 'Label Studio does not answer.' }],
    );
    assert.deepEqual(days, [addDays(day, 5)]);
  });

  it('ends the command with exit code 1 when a step fails, and records why Label Studio was not synchronised', async () => {
    const usual = { ...process.env, ...stack.env, SAMVAD_REPORTS: reports };
    const env = { ...usual, LABEL_STUDIO_URL: 'http://127.0.0.1:9', LABEL_STUDIO_API_KEY: 'nobody-listens' };
    const bin = path.join(root, 'bin', 'samvad.js');
    const failed = await run(process.execPath, [bin, 'daily', '--date', day, '--json'], { env }).then(
      () => assert.fail('it succeeded'),
      (error: unknown) => error as { code: number; stdout: string },
    );
    assert.equal(failed.code, 1);
    const { steps } = JSON.parse(failed.stdout) as { steps: StepResult[] };
    assert.deepEqual(failedIn(steps), ['label studio']);
    assert.equal(steps.length, 5);
    const { last_error } = await row<{ last_error: string | null }>('SELECT last_error FROM labelstudio_projects');
    assert.equal(last_error, steps.find(({ name }) => name === 'label studio')?.detail);
    await run(process.execPath, [bin, 'daily', '--date', day, '--json'], { env: usual });
  });

  it('closes each day once although two schedulers run, and the remaining one takes over', async (t) => {
    const { prepared } = stack;
    const jobs = { daily: '* * * * * *', weekly: '0 3 1 1 *', reports };
    const config = { ...prepared.config, jobs };
    const schedulers: Awaited<ReturnType<typeof startComponents>>[] = [];
    t.after(() => Promise.all(schedulers.map((one) => one.stop())));
    for (let i = 0; i < 2; i++) schedulers.push(await startComponents(['scheduler'], { ...prepared, config }));
    const stats = () => schedulers.map((one) => one.stats()['scheduler'] ?? {});
    const until = async (what: string, holds: () => boolean) => {
      for (const deadline = Date.now() + 60_000; !holds(); await sleep(100))
        assert.ok(Date.now() < deadline, `${what}: ${JSON.stringify(stats())}`);
    };
    const leaders = () => schedulers.filter((one) => one.stats()['scheduler']?.['leading'] === 1);
    await until('one has run the job', () => stats().some((one) => (one['daily'] ?? 0) >= 2));
    // A replaced leader continues for some seconds, in which two may believe that they lead.
    await until('one leads', () => leaders().length === 1);
    const [leader] = leaders();
    await leader?.stop();
    const [other] = schedulers.filter((one) => one !== leader);
    await until('the other one has run the job', () => (other?.stats()['scheduler']?.['daily'] ?? 0) >= 1);
    await other?.stop();
    const closed: string[] = [];
    const codec = prepared.codecs.of(topics.dailyReports);
    for await (const { value } of readTopic(prepared.servers.kafka, topics.dailyReports.name))
      if (value) closed.push(codec.decode(value).day);
    assert.equal(new Set(closed).size, closed.length);
    assert.ok(closed.includes(addDays(dayOf(Date.now()), -1)));
  });

  it('requests the weekly run once, and makes up for a missed one', async () => {
    const context = contextOf(stack.prepared, 'weekly');
    const [sunday, now] = ['2026-11-22T03:00:00Z', '2026-11-22T03:00:01Z'].map(Date.parse) as [number, number];
    const day = 86_400_000;
    const missed = (weeks: number, at: number) => missedWeekly(context.pool, sunday + weeks * 7 * day, at);
    // The first start on a Wednesday misses nothing; the machine is off on the Sunday after that, and on again on Tuesday.
    await context.pool.query('TRUNCATE weekly_job');
    assert.equal(await missed(0, now + 3 * day), false);
    assert.equal(await missed(1, now + 9 * day), true);
    const { run, said } = await runWeekly(context, { now: now + 9 * day });
    assert.match(said, /^Asked for the run default-\d+\.$/);
    assert.ok(run !== undefined && said.includes(run));
    assert.equal(await missed(1, now + 10 * day), false);
    assert.equal(await missed(2, now + 15 * day), true);
    assert.match(
      (await runWeekly(context, { now: now + 15 * day })).said,
      /^0 approved samples are unused, and a run takes 500\.$/,
    );
    assert.equal(await missed(2, now + 16 * day), false);
    // A machine in India: Sunday 3:00 there is Saturday 21:30 UTC.
    await runWeekly(context, { now: sunday + 21 * day - 5.5 * 3_600_000 });
    assert.equal(await missed(3, now + 22 * day), false);
    assert.equal(await missed(4, now + 28 * day), true);
  });

  it('scores the waiting queue again when a version comes into production, and writes each score once', async () => {
    const { prepared } = stack;
    const { servers, codecs, config } = prepared;
    const outcome = await train({ train: samples(12), dev: [], options: quick });
    const bytes = writeModel(outcome.classifier, outcome.views, {
      encoder: outcome.encoder,
      manifest: null,
      training: {},
    });
    const artifact_sha256 = await openArtifactFolder(config.training.artifacts).put(bytes);
    const log = await openModelLog(servers.kafka, codecs);
    const act = { by: 'test', reason: 'to see the queue', at: Date.now() };
    await log.append((now) => ({
      models: register(now, 'router-v1.1.0', { ...blankStanding(act.at), artifact_sha256 }, act),
    }));
    const rescorer = await startComponents(['queue-rescorer'], prepared);
    await log.append((now) => ({ models: setTraffic(now, 'router-v1.1.0', 100, act) }));
    const counted = async () =>
      row<{ waiting: number; scored: number }>(
        `SELECT (SELECT count(*)::int FROM review_queue) AS waiting,
                (SELECT count(*)::int FROM queue_scores WHERE model_version = 'router-v1.1.0') AS scored`,
      );
    await until(counted, ({ waiting, scored }) => waiting > 0 && waiting === scored);
    const ends = await topicEnds(servers.kafka, topics.queueScores.name);
    await rescorer.stop();
    const again = await startComponents(['queue-rescorer'], prepared);
    for (const deadline = Date.now() + 60_000; again.stats()['queue-rescorer']?.['looks'] !== 1; await sleep(100))
      assert.ok(Date.now() < deadline, JSON.stringify(again.stats()));
    await again.stop();
    assert.deepEqual(await topicEnds(servers.kafka, topics.queueScores.name), ends);

    // A conversation that v1.2 answered on trial, which the version in production scores too.
    const producer = await createConversationProducer(producerOptions(prepared));
    await producer.captureConversation({
      ...{ conversation_id: 'own', user_message: 'where is my order?', language: 'en', created_at: new Date() },
      ...{ nlu_intent: 'track_order', nlu_module: 'food', nlu_confidence: 0.75, nlu_provider: 'indicbert' },
      model_version: 'router-v1.2.0',
    });
    await producer.close();
    await untilCaughtUp(servers, prepared.pool);
    const scorer = await startComponents(['queue-rescorer'], prepared);
    await until(counted, ({ waiting, scored }) => waiting === scored);
    const versions = () =>
      row<{ waiting: number; scored: Record<string, number> | null; own: string | null }>(
        `SELECT (SELECT count(*)::int FROM review_queue) AS waiting,
                (SELECT jsonb_object_agg(model_version, n) FROM (SELECT model_version, count(*) AS n FROM queue_scores GROUP BY 1) s) AS scored,
                (SELECT model_version FROM queue_scores WHERE conversation_id = 'own') AS own`,
      );
    await log.append((now) => ({
      models: register(now, 'router-v1.2.0', { ...blankStanding(act.at), artifact_sha256 }, act),
    }));
    await log.append((now) => ({ models: setTraffic(now, 'router-v1.2.0', 100, act) }));
    await until(versions, ({ waiting, scored }) => scored?.['router-v1.2.0'] === waiting - 1);
    assert.deepEqual(await versions().then(({ scored, own }) => [Object.keys(scored ?? {}), own]), [
      ['router-v1.2.0'],
      null,
    ]);

    // The first version has no file.
    for (const version of ['router-v1.2.0', 'router-v1.1.0'])
      await log.append((now) => ({ models: rollBack(now, version, act) }));
    await until(versions, ({ scored }) => scored === null);
    await scorer.stop();
    await log.close();
  });

  async function until<T>(read: () => Promise<T>, fits: (found: T) => boolean): Promise<void> {
    for (const deadline = Date.now() + 60_000; ; await sleep(200)) {
      const found = await read();
      if (fits(found)) return;
      assert.ok(Date.now() < deadline, JSON.stringify(found));
    }
  }

  it('rebuilds the table of reports as it was', async () => {
    const { servers, codecs, pool } = stack.prepared;
    await untilCaughtUp(servers, pool);
    const digest = await digestTable(pool, dailyReports);
    await rebuildProjection({
      projection: dailyReports,
      kafka: servers.kafka,
      codec: codecs.of(dailyReports.topic),
      pool,
    });
    assert.equal(await digestTable(pool, dailyReports), digest);
  });

  function daily(options: DailyOptions, untilPassed?: () => Promise<void>) {
    const { prepared } = stack;
    const config = { ...prepared.config, jobs: { ...prepared.config.jobs, reports } };
    const context = contextOf({ ...prepared, config }, 'daily');
    return runDaily(untilPassed ? { ...context, untilPassed } : context, options);
  }

  /** The reports, by day and ending. */
  async function readFiles(): Promise<Map<string, string>> {
    const files = new Map<string, string>();
    for (const name of await readdir(reports))
      files.set(name.replace('daily-report-', ''), await readFile(path.join(reports, name), 'utf8'));
    return files;
  }
});

/** Rounds figures, because sums in another order differ in the last digits. */
function rounded(figures: ProductionAccuracy): unknown {
  return JSON.parse(
    JSON.stringify(figures, (_, value: unknown) => (typeof value === 'number' ? Number(value.toFixed(9)) : value)),
  );
}

interface Turn {
  readonly route: AuditCell['route'];
  readonly propensity: number;
  readonly confidence: number | null;
  readonly chosen: boolean;
  readonly verdict: string | null;
  readonly language: string;
  readonly user_message: string;
  readonly label: string;
}

/** A cell for each group of equal texts, and for each trusted conversation. */
function cellsOf(turns: readonly Turn[]): AuditCell[] {
  const textOf = ({ user_message, label, confidence }: Turn) =>
    JSON.stringify([label, normalise(user_message), confidenceBand(confidence)]);
  return [
    ...groupBy(turns, (turn) => (turn.route === 'auto-approved' ? turn : textOf(turn) + turn.route)).values(),
  ].map((alike) => {
    const [{ route, propensity, confidence }] = alike as [Turn];
    const counts = (answer: string) => alike.filter(({ chosen, verdict }) => chosen && verdict === answer).length;
    const [right, wrong] = [counts('approve'), counts('correct')];
    return {
      route,
      propensity,
      band: confidenceBand(confidence),
      conversations: alike.length,
      chosen: alike.filter(({ chosen }) => chosen).length,
      right,
      wrong,
      unusable: counts('reject'),
      squares: (right + wrong) ** 2,
    };
  });
}
