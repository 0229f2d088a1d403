import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import kafkajs from 'kafkajs';
import { whatIf } from '../../operations/what-if.ts';
import { projections } from '../../pipeline.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { draftOf } from '../../producers/corrections.ts';
import { kafkajsClient } from '../../runtime/kafka-clients.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { digestTable, rebuildProjection } from '../../runtime/rebuild.ts';
import { topicSettings } from '../../runtime/topics.ts';
import { erasures } from '../../sinks/erasures.ts';
import type { Topic } from '../../stream/topic.ts';
import { topics } from '../../topology.ts';
import { deadLettersIn } from './letters.ts';
import { startReviewing } from './reviewing.ts';
import type { Reviewing } from './reviewing.ts';
import { endAll } from './stack.ts';

const TOPIC = kafkajs.ConfigResourceTypes.TOPIC;
const compacted = Object.values<Topic>(topics).filter(
  ({ keeps }) => keeps === 'latest per key' || keeps === 'until erased',
);
const CLI = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
const TEXT = 'a text that nobody else wrote';
const NOON = '2026-10-05T12:00:00Z';
/** The tables made from the log that have rows of conversations. */
const TABLES = ['conversation_logs', 'conversation_reviews', 'training_sample_rows', 'review_queue'];

describe('an erasure on real servers', () => {
  let reviewing: Reviewing;
  let app: ReturnType<Reviewing['server']>;
  let rows: (sql: string, values?: readonly unknown[]) => Promise<Record<string, unknown>[]>;
  let file: string;

  before(async () => {
    reviewing = await startReviewing();
    app = reviewing.server();
    const { pool } = reviewing.stack.prepared;
    rows = async (sql, values = []) => (await pool.query<Record<string, unknown>>(sql, [...values])).rows;
    file = path.join(reviewing.stack.home, 'export.jsonl');
    await reviewing.capture([
      { conversation_id: 'forgotten', user_message: TEXT },
      { conversation_id: 'kept' },
      { conversation_id: 'waits', user_id: 'u-9' },
      { conversation_id: 'trusted', user_id: 'u-9', nlu_confidence: 0.95 },
    ]);
    for (const id of ['forgotten', 'kept']) assert.equal((await answer(id)).status, 202);
    await reviewing.caughtUp();
  });
  after(() =>
    endAll(
      () => app.close(),
      () => reviewing.stop(),
    ),
  );

  async function ask(method: 'GET' | 'POST', url: string, payload?: object) {
    const response = await app.inject({ method, url, ...(payload && { payload }) });
    return { status: response.statusCode, body: response.json<Record<string, unknown>>() };
  }
  const answer = (conversation_id: string) =>
    ask('POST', '/v1/review-queue/answers', {
      ...{ reviewer: 'asha', session: 'asha' },
      answers: [{ review_id: randomUUID(), conversation_id, verdict: 'approve', reviewed_at: NOON }],
    });
  const erase = (body: object) => ask('POST', '/v1/erasures', { reason: 'case 17', requested_by: 'meera', ...body });
  const samvad = (...args: string[]) =>
    promisify(execFile)(process.execPath, [CLI, ...args], { env: { ...process.env, ...reviewing.stack.env } });

  async function approved(): Promise<number> {
    const { servers, codecs } = reviewing.stack.prepared;
    const codec = codecs.of(topics.approvedSampleCounts);
    const counts = new Map<string, number>();
    for await (const { key, value } of readTopic(servers.kafka, topics.approvedSampleCounts.name))
      if (value) counts.set(String(key), codec.decode(value).approved);
    return [...counts.values()].reduce((sum, count) => sum + count, 0);
  }

  async function asAdmin<T>(ask: (admin: kafkajs.Admin) => Promise<T>): Promise<T> {
    const admin = kafkajsClient(reviewing.stack.prepared.servers.kafka, 'test').admin();
    await admin.connect();
    return ask(admin).finally(() => admin.disconnect());
  }

  async function tablesWith(id: string): Promise<readonly string[]> {
    const found = [];
    for (const table of TABLES)
      if ((await rows(`SELECT FROM ${table} WHERE conversation_id = $1`, [id])).length > 0) found.push(table);
    return found;
  }

  it('removes all rows of an answered conversation, and its sample from the count', async () => {
    await samvad('export', '-o', file);
    assert.match(await readFile(file, 'utf8'), new RegExp(TEXT));
    assert.deepEqual(await tablesWith('forgotten'), [
      'conversation_logs',
      'conversation_reviews',
      'training_sample_rows',
    ]);
    const before = await approved();
    assert.deepEqual(await erase({ conversation_id: 'forgotten' }), {
      ...{ status: 200, body: { conversations: ['forgotten'], outcome: 'erased' } },
    });
    await reviewing.caughtUp();
    assert.deepEqual(await tablesWith('forgotten'), []);
    assert.equal(await approved(), before - 1);
    assert.deepEqual(await tablesWith('kept'), ['conversation_logs', 'conversation_reviews', 'training_sample_rows']);
    const [{ requested_by, reason } = {}] = (await app.inject({ url: '/v1/erasures' })).json<
      Record<string, unknown>[]
    >();
    assert.deepEqual([requested_by, reason], ['meera', 'case 17']);
  });

  it('is reported to anyone who asks about the conversation, and keeps later records of it out', async () => {
    const refusals = [
      await ask('GET', '/v1/conversations/forgotten'),
      await answer('forgotten'),
      await ask('POST', '/v1/reviews', {
        ...{ conversation_id: 'forgotten', verdict: 'approve', reviewer: 'asha', reviewed_at: NOON },
      }),
      await erase({ conversation_id: 'forgotten' }),
    ];
    for (const { status, body } of refusals) {
      assert.deepEqual([status, body['type']], [410, 'urn:samvad:problem:erased']);
      assert.match(String(body['detail']), /"forgotten" was erased at \d{4}-\d\d-\d\dT/);
    }
    await reviewing.capture([{ conversation_id: 'forgotten', user_message: TEXT }]);
    assert.deepEqual(await tablesWith('forgotten'), []);
    const { servers, codecs } = reviewing.stack.prepared;
    const letters = await deadLettersIn({ servers, codecs });
    assert.deepEqual(
      letters.map(({ code, key, value }) => [code, key?.toString(), value]),
      [['erased', 'forgotten', null]],
    );
  });

  it('does not delay reviews while its table is rebuilt', async () => {
    const { servers, codecs, pool } = reviewing.stack.prepared;
    const codec = codecs.of(erasures.topic);
    let go: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (go = resolve));
    const prepare = () => held; // called while the table is locked
    const rebuilt = rebuildProjection({
      ...{ projection: erasures, kafka: servers.kafka, pool },
      codec: { ...codec, prepare },
    });
    const locked = async () =>
      (await rows("SELECT FROM pg_locks WHERE relation = 'erasures'::regclass AND mode = 'AccessExclusiveLock'"))
        .length > 0;
    while (!(await locked())) await sleep(20);
    const review = { conversation_id: 'kept', verdict: 'approve', reviewer: 'asha', reviewed_at: NOON };
    const posted = ask('POST', '/v1/reviews', review);
    try {
      assert.equal(await Promise.race([posted.then(({ status }) => status), sleep(5000, 'it waits')]), 202);
    } finally {
      go();
      await rebuilt;
    }
  });

  it('is refused for an unknown conversation or user, without a reason, and without a subject', async () => {
    const statuses = [
      await erase({ conversation_id: 'never' }),
      await erase({ user_id: 'never' }),
      await erase({ conversation_id: 'kept', reason: ' ' }),
      await erase({ conversation_id: 'kept', requested_by: '' }),
      await erase({}),
      await erase({ conversation_id: 'kept', user_id: 'u-9' }),
    ].map(({ status }) => status);
    assert.deepEqual(statuses, [404, 404, 400, 400, 400, 400]);
    assert.notDeepEqual(await tablesWith('kept'), []);
  });

  it('keeps the conversation out of new exports, and refuses to repeat an older export with other bytes', async () => {
    const again = path.join(reviewing.stack.home, 'again.jsonl');
    await assert.rejects(
      samvad('export', '--manifest', `${file}.manifest.json`, '-o', again),
      (error: Error & { stderr?: string }) =>
        /holds 1 row of conversations that were erased since, and can't be reproduced/.test(error.stderr ?? ''),
    );
    await assert.rejects(readFile(again), { code: 'ENOENT' });
    await samvad('export', '-o', again);
    const text = await readFile(again, 'utf8');
    assert.doesNotMatch(text, new RegExp(TEXT));
    assert.match(text, /"kept"/);
    const { status } = await samvad('export', '--manifest', `${again}.manifest.json`, '-o', again).then(
      () => ({ status: 0 }),
      () => ({ status: 1 }),
    );
    assert.equal(status, 0);
  });

  it('erases all conversations of a user from the command line, also waiting ones', async () => {
    assert.deepEqual(await tablesWith('waits'), ['conversation_logs', 'review_queue']);
    const { stdout } = await samvad('erase', '--user', 'u-9', '--reason', 'case 18', '--by', 'meera');
    assert.equal(stdout, '2 conversations erased: no table contains their text any longer.\n');
    for (const id of ['waits', 'trusted']) assert.deepEqual(await tablesWith(id), []);
    await assert.rejects(samvad('erase', 'waits', '--reason', 'case 18'), (error: Error & { stderr?: string }) =>
      /"waits" was erased at/.test(error.stderr ?? ''),
    );
  });

  it('can be requested through the SDK, and becomes a dead letter for an unknown conversation', async () => {
    await reviewing.capture([{ conversation_id: 'by-sdk' }]);
    for (const conversation_id of ['by-sdk', 'never'])
      await reviewing.producer.requestErasure({ conversation_id, requested_by: 'shop', reason: 'case 19' });
    await reviewing.caughtUp();
    assert.deepEqual(await tablesWith('by-sdk'), []);
    const { servers, codecs } = reviewing.stack.prepared;
    const letters = await deadLettersIn({ servers, codecs });
    const letter = letters.find(({ code }) => code === 'unknown-conversation');
    assert.ok(letter);
    assert.match(JSON.stringify(await draftOf(codecs, letter)), /"conversation_id":"never".*"requested_at":"2/);
  });

  it('removes data from topics within about 8 days, and keeps its tombstones a month, those of decisions forever', async () => {
    const lags = ['min.compaction.lag.ms', 'max.compaction.lag.ms'];
    const configNames = ['cleanup.policy', 'segment.ms', ...lags, 'delete.retention.ms'];
    const found = await asAdmin((admin) =>
      admin.describeConfigs({
        includeSynonyms: false,
        resources: compacted.map(({ name }) => ({ type: TOPIC, name, configNames })),
      }),
    );
    const values = found.resources.map(({ resourceName, configEntries }) => [
      resourceName,
      ...configNames.map((name) => configEntries.find(({ configName }) => configName === name)?.configValue),
    ]);
    const days = (n: number) => String(n * 86_400_000);
    assert.deepEqual(
      values,
      compacted.map(({ name, keeps, keepsTombstones }) => [
        ...[name, 'compact', ...(keeps === 'until erased' ? [days(1), days(6)] : [days(7), days(0)]), days(7)],
        days(keepsTombstones === true ? 36_500 : 30),
      ]),
    );
    assert.ok(topics.routingDecisions.keepsTombstones);
  });

  it('removes the text from every kept topic, once Kafka has compacted it', async () => {
    const { servers } = reviewing.stack.prepared;
    const texts = async () => {
      const found = [];
      for (const { name } of compacted)
        for await (const { value } of readTopic(servers.kafka, name)) if (value?.includes(TEXT)) found.push(name);
      return new Set(found);
    };
    assert.ok((await texts()).has(topics.conversationEvents.name));
    await asAdmin((admin) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: compacted.map((topic) => ({
          ...{ type: TOPIC, name: topic.name },
          configEntries: Object.entries({
            ...topicSettings(topic, 1),
            'cleanup.policy': 'compact',
            'min.compaction.lag.ms': '0',
            'max.compaction.lag.ms': '1',
            'segment.ms': '500',
          }).map(([key, value]) => ({ name: key, value })),
        })),
      }),
    );
    await sleep(1000);
    // Only closed segments are compacted, and the next record closes one that is old enough: here, in every partition of every topic.
    const more = (confidence: number) =>
      Array.from({ length: 40 }, (_, i) => ({
        ...{ conversation_id: `later-${confidence}-${i}`, user_message: `another ${i}`, nlu_confidence: confidence },
      }));
    await reviewing.capture([...more(0.75), ...more(0.95)]);
    for (const deadline = Date.now() + 120_000; (await texts()).size > 0;) {
      assert.ok(Date.now() < deadline, `still in ${[...(await texts())].join(', ')}`);
      await sleep(1000);
    }
    await assert.rejects(
      samvad('export', '--manifest', `${file}.manifest.json`, '-o', `${file}.again`),
      (error: Error & { stderr?: string }) => /holds 2 rows of conversations that were erased/.test(error.stderr ?? ''),
    );
  });

  it('survives a rebuild of every table, and a what-if does not see the conversation', async () => {
    const { servers, codecs, pool } = reviewing.stack.prepared;
    await reviewing.caughtUp();
    for (const projection of projections) {
      const made = await digestTable(pool, projection);
      await rebuildProjection({ projection, kafka: servers.kafka, codec: codecs.of(projection.topic), pool });
      assert.equal(await digestTable(pool, projection), made, projection.name);
    }
    for (const id of ['forgotten', 'waits', 'trusted']) assert.deepEqual(await tablesWith(id), []);
    const options = { policy: { ...defaultPolicy, version: 'routing-v2' }, secondsPerAnswer: 20, examples: 1 };
    const [{ n } = {}] = await rows('SELECT count(*)::int AS n FROM conversation_logs');
    assert.equal((await whatIf(reviewing.stack.prepared, options)).conversations, n);
  });
});
