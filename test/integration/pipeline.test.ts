import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, open, readdir, readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import avsc from 'avsc';
import { pino } from 'pino';
import { startComponents } from '../../app/components.ts';
import type { RunningComponents } from '../../app/components.ts';
import { producerOptions } from '../../app/environment.ts';
import type { Prepared } from '../../app/environment.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { readPipelineFigures } from '../../app/pipeline-figures.ts';
import { projections } from '../../pipeline.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { ingestJsonl } from '../../producers/jsonl.ts';
import { kafkajsClient, librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { migrate } from '../../runtime/migrate.ts';
import { openPool } from '../../runtime/postgres-pool.ts';
import { call, connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { digestTable, rebuildProjection } from '../../runtime/rebuild.ts';
import { openCodecs, SchemaRefused } from '../../runtime/schema-registry.ts';
import { openTracing } from '../../runtime/tracing.ts';
import type { Tracing } from '../../runtime/tracing.ts';
import { schemas } from '../../schemas/types.ts';
import type { SampleApproved } from '../../schemas/types.ts';
import { subjectOf } from '../../stream/event-key.ts';
import type { Topic } from '../../stream/topic.ts';
import { topics } from '../../topology.ts';
import { DATA_SETS } from '../../trainer/data-set/data-set-folder.ts';
import { conversation, review } from '../fixtures.ts';
import { startCollector } from '../otlp-collector.ts';
import type { Collector } from '../otlp-collector.ts';
import { deadLettersIn } from './letters.ts';
import { endAll, startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const examples = path.join(import.meta.dirname, '..', '..', 'examples');

async function count(stack: Stack, sql: string): Promise<number> {
  const { rows } = await stack.prepared.pool.query<{ count: string }>(sql);
  return Number(rows[0]?.count);
}

/** A producer that uses no spool even on a busy machine: from a spool, a record may arrive twice, or after `close`. */
function patientProducer(prepared: Prepared) {
  return createConversationProducer({ ...producerOptions(prepared), deliveryTimeoutMs: 120_000 });
}

/** The bytes of a record up to its list of entities, which claims to have `count` items. */
function claimingEntities(record: Buffer, count: number): Buffer {
  const field = 'router-v1.0.0'; // the value of the field before it
  const end = record.indexOf(field) + field.length;
  return Buffer.concat([record.subarray(0, end), avsc.Type.forSchema('long').toBuffer(count)]);
}

function tally<T>(items: readonly T[], label: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(label(item), (counts.get(label(item)) ?? 0) + 1);
  return counts;
}

async function digests(stack: Stack): Promise<string[]> {
  return Promise.all(projections.map((projection) => digestTable(stack.prepared.pool, projection)));
}

/** `bytes` with a number of ten bytes in place of `number`, both as Avro writes them: zig-zag, seven bits per byte. */
function withNumber(bytes: Buffer, number: bigint): Buffer {
  const varint = (value: bigint): number[] => {
    const rest = value >> 7n;
    return rest === 0n ? [Number(value)] : [Number(value & 0x7fn) | 0x80, ...varint(rest)];
  };
  const known = Buffer.from(varint(2n * number));
  const at = bytes.indexOf(known);
  assert.ok(at > 0);
  const large = Buffer.from(varint(2n * 1_789_000_000_123_456_789n));
  return Buffer.concat([bytes.subarray(0, at), large, bytes.subarray(at + known.length)]);
}

describe('the example traffic on real servers', () => {
  let stack: Stack;
  let components: RunningComponents;
  let collector: Collector;
  let tracing: Tracing;
  const logged: Record<string, unknown>[] = [];

  before(async () => {
    stack = await startStack();
    const { prepared } = stack;
    const write = (line: string) => logged.push(JSON.parse(line) as Record<string, unknown>);
    const log = pino({ level: 'warn' }, { write });
    collector = await startCollector();
    tracing = openTracing({ endpoint: collector.endpoint, log });
    components = await startComponents(['pipeline'], { ...prepared, log, tracing });
    const producer = await patientProducer(prepared);
    const sent = await ingestJsonl({
      file: path.join(examples, 'conversations.jsonl'),
      kind: 'conversation',
      producer,
    });
    assert.deepEqual([sent.lines, sent.rejected], [3797, 8]);
    await ingestJsonl({ file: path.join(examples, 'reviews.jsonl'), kind: 'review', producer });
    await producer.close();
    await untilCaughtUp(prepared.servers, prepared.pool);
  });
  after(() =>
    endAll(
      () => components.stop(),
      () => tracing.stop(),
      () => collector.stop(),
      () => stack.stop(),
    ),
  );

  /** The latest value of each key of a topic, without deleted keys. */
  async function latestPerKey<V>(topic: Topic<V>): Promise<Map<string, V>> {
    const { servers, codecs } = stack.prepared;
    const latest = new Map<string, V>();
    for await (const { key, value } of readTopic(servers.kafka, topic.name))
      if (value) latest.set(String(key), codecs.of(topic).decode(value));
      else latest.delete(String(key));
    return latest;
  }

  it('has each conversation once, with one decision and one row', async () => {
    const ids: string[] = [];
    for await (const { value } of readTopic(stack.prepared.servers.kafka, topics.conversationEvents.name)) {
      const event = stack.prepared.codecs.of(topics.conversationEvents).decode(value ?? Buffer.alloc(0));
      if (event.captured) ids.push(event.conversation_id);
    }
    assert.equal(ids.length, 3721);
    assert.equal(new Set(ids).size, 3721);
    assert.equal(await count(stack, 'SELECT count(*) FROM conversation_logs'), 3721);
  });

  it('counts exactly the samples that stand', async () => {
    const counts = new Map<string, number>();
    for await (const { key, value } of readTopic(stack.prepared.servers.kafka, topics.approvedSampleCounts.name)) {
      if (value) counts.set(String(key), stack.prepared.codecs.of(topics.approvedSampleCounts).decode(value).approved);
    }
    const approved = [...counts.values()].reduce((sum, n) => sum + n, 0);
    assert.equal(
      approved,
      await count(stack, "SELECT count(*) FROM training_samples WHERE review_status = 'approved'"),
    );
    assert.equal(
      approved,
      await count(stack, "SELECT count(*) FROM conversation_logs WHERE review_status IN ('approved', 'auto-approved')"),
    );
  });

  it('queues exactly the waiting conversations, ordered by class, with one of each group of near-duplicates first', async () => {
    const asked = "(route <> 'auto-approved' OR audit)";
    const answers =
      '(SELECT count(DISTINCT r.reviewer) FROM standing_reviews r WHERE r.conversation_id = c.conversation_id)';
    const waiting = `${asked} AND ${answers} < CASE WHEN overlap THEN 2 ELSE 1 END`;
    assert.equal(
      await count(stack, 'SELECT count(*) FROM training_queue'),
      await count(stack, `SELECT count(*) FROM conversation_logs c WHERE ${waiting}`),
    );
    const { rows } = await stack.prepared.pool.query<{ drawn: boolean; route: string; duplicates_before: string }>(
      'SELECT * FROM training_queue ORDER BY review_priority',
    );
    const order = rows
      .filter(({ drawn }) => !drawn)
      .map(
        ({ route, duplicates_before }) =>
          (route === 'priority-review' ? 0 : 2) + (Number(duplicates_before) > 0 ? 1 : 0),
      );
    assert.deepEqual(
      order,
      [...order].sort((a, b) => a - b),
    );
  });

  it('gives every eighth place to items drawn by chance, and shows nothing that distinguishes audits among them', async () => {
    const { rows } = await stack.prepared.pool.query<Record<string, unknown>>(
      'SELECT q.*, c.audit FROM training_queue q JOIN conversation_logs c USING (conversation_id) ORDER BY review_priority',
    );
    const drawn = rows.filter((row) => row['drawn']);
    const eighths = rows.filter((_, i) => i % 8 === 7).slice(0, drawn.length);
    assert.ok(eighths.every((row) => row['drawn']));
    assert.ok(rows.every((row) => row['audit'] !== true || row['drawn'] === true));
    const [audits, others] = [true, false].map((audit) => drawn.filter((row) => row['audit'] === audit));
    assert.ok((audits?.length ?? 0) > 10 && (others?.length ?? 0) > 10);
    for (const column of ['nlu_confidence', 'nlu_provider', 'model_version', 'route', 'score'])
      assert.deepEqual(new Set(drawn.map((row) => row[column])), new Set([null]), column);
    const reasons = (some: typeof rows | undefined) => new Set(some?.map((row) => JSON.stringify(row['reasons'])));
    assert.ok([...reasons(audits)].every((reason) => reasons(others).has(reason)));
    assert.deepEqual(new Set(audits?.flatMap(Object.keys)), new Set(others?.flatMap(Object.keys)));
  });

  it('measures how many conversations wait since when, and the size and duration of transactions', async () => {
    const { servers, pool, measurements } = stack.prepared;
    const { queue, lag } = await readPipelineFigures(servers, pool);
    const { rows } = await pool.query<{ class: number; waiting: string; oldest: Date }>(
      `SELECT priority_class AS class, count(*) AS waiting, min(created_at) AS oldest FROM review_queue WHERE answered_by = '[]' GROUP BY 1 ORDER BY 1`,
    );
    assert.equal(rows.length, 3);
    assert.deepEqual(
      queue,
      rows.map((row) => ({ ...row, waiting: Number(row.waiting), oldest: row.oldest.getTime() / 1000 })),
    );
    assert.ok(lag.length > 0);
    const lines = (await measurements.registry.metrics()).split('\n');
    const value = (metric: string, component: string) =>
      Number(lines.find((line) => line.startsWith(`${metric}{component="${component}"}`))?.split(' ')[1]);
    for (const [component, stats] of Object.entries(components.stats()).filter(([, { processed }]) => processed ?? 0)) {
      assert.equal(value('samvad_component_batch_records_sum', component), stats['processed'], component);
      assert.equal(value('samvad_component_commit_duration_seconds_count', component), stats['transactions']);
      assert.ok(value('samvad_component_commit_duration_seconds_sum', component) > 0);
    }
  });

  it('puts exactly the eight conflicting ids into the dead letters', async () => {
    const letters = await deadLettersIn(stack.prepared);
    assert.deepEqual(
      letters.map(({ code }) => code),
      Array.from({ length: 8 }, () => 'conflicting-duplicate'),
    );
  });

  it('exports the samples that stand, and the same bytes again from the manifest', async () => {
    const first = path.join(stack.home, 'first.jsonl');
    const again = path.join(stack.home, 'again.jsonl');
    const run = promisify(execFile);
    const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
    const env = { ...process.env, ...stack.env };
    await run(process.execPath, [bin, 'export', '--output', first], { env });
    await run(process.execPath, [bin, 'export', '--manifest', `${first}.manifest.json`, '--output', again], { env });
    const bytes = await readFile(first, 'utf8');
    assert.equal(
      bytes.trim().split('\n').length,
      await count(stack, "SELECT count(*) FROM training_samples WHERE review_status = 'approved'"),
    );
    assert.equal(await readFile(again, 'utf8'), bytes);
    await untilCaughtUp(stack.prepared.servers, stack.prepared.pool);
    const { rows } = await stack.prepared.pool.query<{ output: string }>(
      "SELECT output FROM training_export_jobs WHERE status = 'finished' ORDER BY created_at",
    );
    assert.deepEqual(
      rows.map(({ output }) => output),
      [first, again].map((file) => `${os.hostname()}:${file}`),
    );
  });

  it('records an export that Ctrl-C ends, and leaves no files', async () => {
    const file = path.join(stack.home, 'interrupted.jsonl');
    const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
    const manifest = path.join(stack.home, 'held.manifest.json');
    await promisify(execFile)('mkfifo', [manifest]); // the export waits until it is written
    const env = { ...process.env, ...stack.env };
    const child = spawn(process.execPath, [bin, 'export', '-o', file, '--manifest', manifest], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const said = text(child.stderr);
    const jobs = (status: string) =>
      count(stack, `SELECT count(*) FROM training_export_jobs WHERE output LIKE '%:${file}' AND status = '${status}'`);
    const end = Date.now() + 60_000;
    const ended = once(child, 'exit');
    try {
      while ((await jobs('running')) === 0) {
        assert.ok(Date.now() < end && child.exitCode === null, 'it does not begin');
        await sleep(50);
      }
      child.kill('SIGINT');
      await sleep(500);
      const writer = await open(manifest, constants.O_WRONLY | constants.O_NONBLOCK);
      await writer.writeFile(await readFile(path.join(stack.home, 'first.jsonl.manifest.json')));
      await writer.close();
      assert.deepEqual(await ended, [130, null]);
    } finally {
      child.kill('SIGKILL');
    }
    assert.match(await said, /Interrupted. Nothing was written/);
    await untilCaughtUp(stack.prepared.servers, stack.prepared.pool);
    assert.equal(await jobs('failed'), 1);
    assert.equal(await count(stack, "SELECT count(*) FROM training_export_jobs WHERE error = 'interrupted'"), 1);
    const written = (await readdir(stack.home)).filter((name) => name.startsWith('interrupted.jsonl'));
    assert.deepEqual(written, []);
    assert.deepEqual(await readdir(path.join(stack.prepared.config.home, DATA_SETS)), []);
  });

  it('answers every acceptance query with the data of the log', async () => {
    const { servers, pool } = stack.prepared;
    const producer = await patientProducer(stack.prepared);
    for (let i = 0; i < 25; i++)
      await producer.captureConversation({
        ...{
          conversation_id: `today-${i}`,
          user_message: `where is order ${i}?`,
          language: 'en',
          nlu_intent: 'track_order',
        },
        ...{ nlu_module: 'food', nlu_confidence: i / 25, nlu_provider: i % 5 > 0 ? 'indicbert' : 'llm' },
        created_at: new Date(Date.now() - i * 1000),
      });
    await untilCaughtUp(servers, pool);
    await producer.submitReview({ conversation_id: 'today-1', verdict: 'approve', reviewer: 'asha' });
    await producer.submitReview({ conversation_id: 'today-2', verdict: 'skip', reviewer: 'asha' });
    await producer.close();
    await untilCaughtUp(servers, pool);
    const sql = await readFile(path.join(import.meta.dirname, 'acceptance.sql'), 'utf8');
    const statements = sql
      .replaceAll(/^--.*$/gm, '')
      .split(';')
      .map((s) => s.trim())
      .filter((s) => s !== '');
    const results = await Promise.all(statements.map((statement) => pool.query<Record<string, unknown>>(statement)));
    assert.deepEqual(
      results.map(({ fields }) => fields.map(({ name }) => name).join(' ')),
      [
        'count review_status',
        'user_message nlu_intent nlu_confidence review_status created_at',
        'review_priority conversation_id user_message language nlu_intent nlu_module nlu_confidence nlu_provider model_version ' +
          'entities runners_up route score reasons fingerprint drawn policy_version created_at review_status duplicates_before',
        'date conversations auto_approved needs_review priority_review reviewed waiting auto_approval_rate average_confidence ' +
          'llm_fallback_rate training_samples llm_fallbacks with_confidence reviews review_hours',
        'version test_accuracy production_accuracy traffic_percentage',
        'version status traffic_percentage test_accuracy production_accuracy average_latency_ms fallback_rate training_samples ' +
          'previous_version test_accuracy_improvement production_gap created_at deployed_at',
        'version status test_accuracy training_samples deployed_at',
        'count',
        'count',
        'module_type count',
        'count',
        'version test_accuracy',
      ],
    );
    const [
      statuses,
      latest,
      queue,
      days,
      production,
      comparison,
      versions,
      approved,
      unused,
      modules,
      all,
      accuracies,
    ] = results.map(({ rows }) => rows);

    const decisions = [...(await latestPerKey(topics.routingDecisions)).values()];
    const samples = new Map<string, SampleApproved>();
    for (const { conversation_id, approved } of (await latestPerKey(topics.trainingSamples)).values())
      if (approved) samples.set(conversation_id, approved);
      else samples.delete(conversation_id);
    const waiting = [...(await latestPerKey(topics.reviewQueue)).values()];
    const reviews = [...(await latestPerKey(topics.conversationEvents)).values()].flatMap(
      ({ reviewed }) => reviewed ?? [],
    );

    const countsOf = (rows: typeof statuses, label: string) =>
      new Map(rows?.map((row) => [row[label], Number(row['count'])]));
    const standing = tally(decisions, ({ review_status }) => review_status.replaceAll('_', '-'));
    assert.deepEqual([...standing.keys()].sort(), ['approved', 'auto-approved', 'needs-review', 'rejected', 'skipped']);
    assert.deepEqual(countsOf(statuses, 'review_status'), standing);
    assert.deepEqual(
      latest?.map((row) => (row['created_at'] as Date).getTime()),
      decisions
        .map(({ conversation }) => conversation.created_at)
        .sort((a, b) => b - a)
        .slice(0, 20),
    );

    const open = new Set(
      waiting.filter(({ answered_by }) => answered_by.length === 0).map(({ conversation_id }) => conversation_id),
    );
    assert.ok(open.size < waiting.length, 'some wait for a second person');
    const whole = await pool.query<Record<string, unknown>>(statements[2]?.replace('LIMIT 20', '') ?? '');
    assert.deepEqual(new Set(whole.rows.map((row) => row['conversation_id'])), open);
    assert.equal(whole.rows.length, open.size);
    assert.deepEqual(queue, whole.rows.slice(0, 20));
    const places = whole.rows.map((row) => Number(row['review_priority']));
    assert.deepEqual(
      places,
      [...places].sort((a, b) => a - b),
    );

    const dayOfRow = (at: number) => new Date(at).toISOString().slice(0, 10);
    const today = dayOfRow(Date.now());
    const conversationsOf = tally(decisions, ({ conversation }) => dayOfRow(conversation.created_at));
    const answersOf = tally(
      reviews.filter(({ verdict, withdraws }) => verdict !== 'skip' || withdraws === null),
      ({ reviewed_at }) => dayOfRow(reviewed_at),
    );
    const week = dayOfRow(Date.now() - 7 * 86_400_000);
    const expected = [...new Set([...conversationsOf.keys(), ...answersOf.keys()])].filter((day) => day >= week);
    assert.ok(expected.includes(today));
    const { rows: readable } = await pool.query<{ date: string; conversations: number; reviews: number }>(
      `SELECT date::text, conversations::int, reviews::int FROM (${statements[3] ?? ''}) AS days`,
    );
    assert.equal(readable.length, days?.length);
    assert.deepEqual(
      readable,
      expected
        .sort()
        .reverse()
        .map((date) => ({ date, conversations: conversationsOf.get(date) ?? 0, reviews: answersOf.get(date) ?? 0 })),
    );
    const ofToday = decisions.filter(({ conversation }) => dayOfRow(conversation.created_at) === today);
    const figures = days?.[0];
    const routes = tally(ofToday, ({ route }) => route);
    assert.deepEqual(
      ['auto_approved', 'needs_review', 'priority_review', 'llm_fallbacks', 'training_samples', 'waiting'].map((name) =>
        Number(figures?.[name]),
      ),
      [
        ...(['auto_approved', 'needs_review', 'priority_review'] as const).map((route) => routes.get(route) ?? 0),
        ofToday.filter(({ conversation }) => conversation.nlu_provider === 'llm').length,
        ofToday.filter(({ conversation_id }) => samples.has(conversation_id)).length,
        ofToday.filter(({ review_status }) => review_status === 'needs_review').length,
      ],
    );
    const confidences = ofToday.map(({ conversation }) => conversation.nlu_confidence ?? Number.NaN);
    const mean = confidences.reduce((sum, one) => sum + one, 0) / confidences.length;
    assert.ok(Math.abs(Number(figures?.['average_confidence']) - mean) < 1e-9);

    const first = { version: 'router-v1.0.0', test_accuracy: 0.82 };
    assert.deepEqual(production, [{ ...first, production_accuracy: null, traffic_percentage: 100 }]);
    assert.deepEqual(
      comparison?.map((row) => [row['version'], row['status'], row['previous_version'], row['production_gap']]),
      [['router-v1.0.0', 'production', null, null]],
    );
    assert.deepEqual(
      versions?.map(({ deployed_at, ...row }) => [row, deployed_at instanceof Date]),
      [[{ ...first, status: 'production', training_samples: 0 }, true]],
    );
    assert.deepEqual(accuracies, [first]);
    assert.ok(samples.size > 0);
    assert.deepEqual(
      [approved, unused, all].map((rows) => Number(rows?.[0]?.['count'])),
      [samples.size, samples.size, decisions.length],
    );
    assert.deepEqual(
      countsOf(modules, 'module_type'),
      tally([...samples.values()], ({ module }) => module),
    );
  });

  it('answers every question of docs/sql.md', async () => {
    const page = await readFile(path.join(import.meta.dirname, '..', '..', 'docs', 'sql.md'), 'utf8');
    const [, block = ''] = /^```sql\n(.*?)^```$/ms.exec(page) ?? [];
    const questions = block.split('\n').filter((line) => line !== '');
    assert.equal(questions.length, 7);
    for (const question of questions)
      assert.ok((await stack.prepared.pool.query(question)).fields.length > 1, question);
  });

  it('gives the same tables when they are rebuilt from the log, including timestamps, while the runners run', async () => {
    const { servers, codecs, pool } = stack.prepared;
    const before = await digests(stack);
    for (const projection of projections)
      await rebuildProjection({ projection, kafka: servers.kafka, codec: codecs.of(projection.topic), pool });
    assert.deepEqual(await digests(stack), before);
    await untilCaughtUp(servers, pool);
    assert.deepEqual(await digests(stack), before);
  });

  it('leaves everything unchanged when a rebuild fails half-way, and continues', async () => {
    const { servers, codecs, pool } = stack.prepared;
    for (const projection of projections.filter(({ table }) => ['conversation_logs', 'review_queue'].includes(table))) {
      const standing = async () => ({
        digest: await digestTable(pool, projection),
        ...(
          await pool.query<object>(
            `SELECT (SELECT json_agg(i ORDER BY indexname) FROM pg_indexes i WHERE tablename = $1) AS indexes,
                    (SELECT json_agg(c ORDER BY conname) FROM pg_constraint c WHERE conrelid = $1::regclass) AS constraints,
                    (SELECT json_agg(o ORDER BY partition) FROM projection_offsets o WHERE projection = $2) AS offsets,
                    (SELECT json_agg(r ORDER BY r::text) FROM row_counts r) AS counts`,
            [projection.table, projection.name],
          )
        ).rows[0],
      });
      const before = await standing();
      const codec = codecs.of(projection.topic);
      let decoded = 0;
      const failing = {
        ...codec,
        decode(bytes: Buffer) {
          if (++decoded > 100) throw new Error('the memory is full');
          return codec.decode(bytes);
        },
      };
      await assert.rejects(
        rebuildProjection({ projection, kafka: servers.kafka, codec: failing, pool }),
        /the memory is full/,
      );
      assert.deepEqual(await standing(), before, projection.name);
    }
    const producer = await patientProducer(stack.prepared);
    await producer.captureConversation({
      ...{ conversation_id: 'after-failed-rebuild', user_message: 'where is my order?', language: 'en' },
      ...{ nlu_intent: 'track_order', nlu_module: 'food', nlu_confidence: 0.4, nlu_provider: 'indicbert' },
    });
    await producer.close();
    await untilCaughtUp(servers, pool);
    for (const table of ['conversation_logs', 'review_queue'])
      assert.equal(
        await count(stack, `SELECT count(*) FROM ${table} WHERE conversation_id = 'after-failed-rebuild'`),
        1,
        table,
      );
  });

  it('changes nothing when the same input comes again', async () => {
    const { servers, pool } = stack.prepared;
    const before = await digests(stack);
    const producer = await patientProducer(stack.prepared);
    await ingestJsonl({ file: path.join(examples, 'conversations.jsonl'), kind: 'conversation', producer });
    await ingestJsonl({ file: path.join(examples, 'reviews.jsonl'), kind: 'review', producer });
    await producer.close();
    await untilCaughtUp(servers, pool);
    assert.deepEqual(await digests(stack), before);
  });

  it('sends poison to the dead letters with its reason, and continues', async () => {
    const { servers, codecs, pool } = stack.prepared;
    const letterCodes = async () => (await deadLettersIn({ servers, codecs })).map(({ code }) => code);
    const known = await letterCodes();
    const good = codecs.of(topics.conversations).encode(conversation({ conversation_id: 'after-poison' }));
    const encode = (fields: Parameters<typeof conversation>[0]) =>
      codecs.of(topics.conversations).encode(conversation(fields));
    const unknown = Buffer.from(good);
    unknown.writeInt32BE(987_654, 1);
    const broken = Buffer.from(good);
    broken[broken.indexOf('track_order')] = 0xff;
    const otherRecord = codecs.of(topics.reviews).encode(review({ conversation_id: 'p4' }));
    const poison: readonly (readonly [string, Buffer])[] = [
      ['bad-avro', claimingEntities(good, 1e9)],
      ['unreadable-schema', otherRecord],
      ['conflicting-duplicate', encode({ conversation_id: 'after-poison', user_message: 'something else' })],
      ['too-large', encode({ conversation_id: 'p5', user_message: 'a'.repeat(2 * 1024 * 1024) })],
      ['too-large', encode({ conversation_id: 'p7', user_message: 'a'.repeat(6 * 1024 * 1024) })],
      ['invalid-value', encode({ conversation_id: 'p6', created_at: -62_135_596_800_000 })],
      ['bad-avro', good.subarray(0, 40)],
      ['unknown-schema', unknown],
      ['bad-utf8', broken],
      ['bad-frame', Buffer.from('{"conversation_id":"x"}')],
      ['invalid-value', encode({ conversation_id: '' })],
      ['invalid-value', encode({ conversation_id: 'p1', nlu_confidence: 1.7 })],
      ['invalid-value', encode({ conversation_id: 'p2', created_at: Date.UTC(2190, 0, 1) })],
      [
        'invalid-value',
        encode({ conversation_id: 'p3', entities: [{ name: '__proto__', value: 'x', start: null, end: null }] }),
      ],
      ['invalid-value', encode({ conversation_id: 'p8'.repeat(2500) })],
      // Nanoseconds, and more than an int holds: values that the types of other languages permit.
      ['bad-avro', withNumber(encode({ conversation_id: 'p9', created_at: 1_789_000_000_123 }), 1_789_000_000_123n)],
      ['bad-avro', withNumber(encode({ conversation_id: 'p10', processing_time_ms: 123_456_789 }), 123_456_789n)],
    ];
    const producer = await connectProducer({
      ...librdkafkaConfig(servers.kafka, 'poison'),
      'compression.codec': 'gzip', // compressed, megabytes of one repeated letter pass the broker's limit
      'message.max.bytes': 8 * 1024 * 1024,
    });
    producer.produce(topics.conversations.name, 0, good, 'wrong partition perhaps');
    for (const [, bytes] of poison) producer.produce(topics.conversations.name, 0, bytes, 'poison');
    const last = encode({ conversation_id: 'after-poison-too' });
    producer.produce(topics.conversations.name, 0, last, 'wrong partition perhaps');
    await call('flushing', (done) => producer.flush(10_000, (error) => done(error, undefined)));
    await disconnect(producer);
    await untilCaughtUp(servers, pool);
    assert.deepEqual((await letterCodes()).sort(), [...known, ...poison.map(([code]) => code)].sort());
    assert.equal(
      await count(stack, "SELECT count(*) FROM conversation_logs WHERE conversation_id LIKE 'after-poison%'"),
      2,
    );
  });

  it('accepts times some hours ahead, as from a clock that is set wrong', async () => {
    const { pool, servers } = stack.prepared;
    const producer = await patientProducer(stack.prepared);
    const created_at = new Date(Date.now() + 5.5 * 3_600_000);
    await producer.captureConversation({
      ...{ conversation_id: 'from-later', created_at, user_message: 'where is my order?', language: 'en' },
      ...{ nlu_intent: 'track_order', nlu_module: 'food', nlu_confidence: 0.75, nlu_provider: 'indicbert' },
    });
    await producer.submitReview({
      ...{ conversation_id: 'from-later', verdict: 'approve', reviewer: 'asha', reviewed_at: created_at },
    });
    await producer.close();
    await untilCaughtUp(servers, pool);
    const { rows } = await pool.query(
      "SELECT created_at, review_status FROM conversation_logs WHERE conversation_id = 'from-later'",
    );
    assert.deepEqual(rows, [{ created_at, review_status: 'approved' }]);
    const arrived = Date.now();
    for await (const { key, timestamp } of readTopic(servers.kafka, topics.conversationEvents.name))
      if (key?.toString().startsWith('from-later') === true) assert.ok(timestamp <= arrived, `${timestamp}`);
  });

  it('exports spans of a sampled trace from the capture to the rows, and none of an unsampled trace', async (t) => {
    const [traceId, other, caller] = ['0af7651916cd43dd8448eb211c80319c', `${'0'.repeat(31)}1`, 'b7ad6b7169203331'];
    const producer = await patientProducer(stack.prepared);
    t.after(() => producer.close());
    const input = {
      ...{ user_message: 'where is my order?', language: 'en', nlu_intent: 'track_order', nlu_module: 'food' },
      ...{ nlu_confidence: 0.99, nlu_provider: 'indicbert' as const },
    };
    await producer.captureConversation(
      { ...input, conversation_id: 'not-drawn' },
      { traceparent: `00-${other}-${caller}-00` },
    );
    await producer.captureConversation(
      { ...input, conversation_id: 'drawn' },
      { traceparent: `00-${traceId}-${caller}-01` },
    );
    const parents = {
      'confidence-router': 'intake',
      'review-prioritizer': 'confidence-router',
      'sample-builder': 'confidence-router',
      'sample-counter': 'sample-builder',
      'conversation-logs': 'confidence-router',
      'training-samples': 'sample-builder',
    };
    await collector.until(['intake', ...Object.keys(parents)]);
    const drawn = new Map(collector.spans.filter((one) => one.traceId === traceId).map((one) => [one.name, one]));
    assert.equal(drawn.get('intake')?.parentSpanId, caller);
    for (const [name, parent] of Object.entries(parents))
      assert.equal(drawn.get(name)?.parentSpanId, drawn.get(parent)?.spanId, name);
    for (const { name, startTimeUnixNano, endTimeUnixNano } of drawn.values())
      assert.ok(BigInt(startTimeUnixNano) <= BigInt(endTimeUnixNano), name);
    await untilCaughtUp(stack.prepared.servers, stack.prepared.pool);
    assert.deepEqual([...new Set(collector.spans.map((one) => one.traceId))], [traceId]);
  });

  it('carries the trace of a caller to every topic, the dead letter and the log, and ignores odd headers of other producers', async (t) => {
    const { servers, codecs, pool } = stack.prepared;
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
    const producer = await patientProducer(stack.prepared);
    t.after(() => producer.close());
    const input = {
      ...{ conversation_id: 'traced', user_message: 'where is my order?', language: 'en', nlu_intent: 'track_order' },
      ...{ nlu_module: 'food', nlu_confidence: 0.4, nlu_provider: 'indicbert' as const },
    };
    await producer.captureConversation(input, { traceparent });
    await untilCaughtUp(servers, pool); // an answer in the same batch would keep the conversation out of the queue
    const approval = { conversation_id: 'traced', verdict: 'approve' as const, reviewer: 'asha' };
    await producer.submitReview(approval, { traceparent });
    await untilCaughtUp(servers, pool);
    await producer.captureConversation({ ...input, user_message: 'something else' }, { traceparent });
    const elsewhere = kafkajsClient(servers.kafka, 'odd-headers').producer();
    t.after(() => elsewhere.disconnect());
    await elsewhere.connect();
    const odd = { traceparent: 'junk', ['__proto__']: 'x', several: ['a', 'b'], empty: '' };
    const value = codecs.of(topics.conversations).encode(conversation({ conversation_id: 'odd-headers' }));
    await elsewhere.send({
      topic: topics.conversations.name,
      messages: [{ key: 'odd-headers', value, headers: odd }],
    });
    await untilCaughtUp(servers, pool);

    const traces = async (topic: string, id: string) => {
      const found: (string | null)[] = [];
      for await (const record of readTopic(servers.kafka, topic))
        if (subjectOf(record.key?.toString() ?? '') === id) found.push(record.traceparent);
      return found;
    };
    for (const [{ name }, records] of [
      [topics.conversations, 2],
      [topics.reviews, 1],
      [topics.conversationEvents, 2],
      [topics.trainingSamples, 1],
      [topics.deadLetters, 1],
    ] as const)
      assert.deepEqual(
        await traces(name, 'traced'),
        Array.from({ length: records }, () => traceparent),
        name,
      );
    for (const { name } of [topics.routingDecisions, topics.reviewQueue])
      assert.deepEqual(new Set(await traces(name, 'traced')), new Set([traceparent]), name);
    assert.deepEqual(await traces(topics.conversationEvents.name, 'odd-headers'), [null]);
    const letters = await deadLettersIn({ servers, codecs });
    assert.deepEqual(
      letters.filter((letter) => letter.traceparent === traceparent).map(({ code, component }) => [code, component]),
      [['conflicting-duplicate', 'intake']],
    );
    assert.deepEqual(
      logged
        .filter((line) => line['trace_id'] === traceId)
        .map((line) => [line['component'], line['conversation_id'], line['code'], line['msg']]),
      [['intake', 'traced', 'conflicting-duplicate', 'dead letter']],
    );
  });

  it("refuses to start with a schema that can't read the log, and names the field", async () => {
    const { schemaRegistryUrl } = stack.prepared.servers;
    const changed = { ...topics.conversations, name: 'nlu.changed' };
    const old = schemas.ConversationCaptured.replace(
      '"name":"language","type":"string"',
      '"name":"language","type":"int"',
    );
    assert.notEqual(old, schemas.ConversationCaptured);
    const registered = await fetch(`${schemaRegistryUrl}/subjects/${changed.name}-value/versions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ schema: old }),
    });
    assert.equal(registered.status, 200);
    await assert.rejects(
      openCodecs(schemaRegistryUrl, [changed]),
      (error) => error instanceof SchemaRefused && /field \S*language: int became string/.test(error.message),
    );
  });

  it('rebuilds and migrates as a user with a short statement timeout', async (t) => {
    const { servers, codecs, pool } = stack.prepared;
    const [projection] = projections.filter(({ name }) => name === 'policies');
    assert.ok(projection);
    await pool.query("ALTER ROLE CURRENT_USER SET statement_timeout = '200ms'");
    const hurried = openPool(servers.databaseUrl);
    t.after(async () => {
      await hurried.end();
      await pool.query('ALTER ROLE CURRENT_USER RESET statement_timeout');
    });
    await assert.rejects(hurried.query('SELECT pg_sleep(1)'), { code: '57014' });
    /** Holds a lock for a second, so that a statement that waits for it takes that long. */
    const held = async <T>(lock: string, during: () => Promise<T>): Promise<T> => {
      const holder = await pool.connect();
      await holder.query('BEGIN');
      await holder.query(lock);
      const released = sleep(1000).then(() => holder.query('COMMIT'));
      return during().finally(() => released.finally(() => holder.release()));
    };
    const codec = codecs.of(projection.topic);
    await held(`LOCK TABLE ${projection.table}`, () =>
      rebuildProjection({ projection, kafka: servers.kafka, codec, pool: hurried }),
    );
    await held('LOCK TABLE schema_migrations', () => migrate(servers.databaseUrl));
  });
});
