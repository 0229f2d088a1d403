import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { deadLetterLog } from '../../app/dead-letters.ts';
import { liveReader } from '../../app/live.ts';
import kafkajs from 'kafkajs';
import { defaultPolicy } from '../../policy/routing.ts';
import { deadLetterWriter } from '../../runtime/dead-letter-writer.ts';
import { DeadLetterIndex, findDeadLetters, replayDeadLetters } from '../../runtime/dead-letters.ts';
import type { PlacedDeadLetter } from '../../runtime/dead-letters.ts';
import { kafkajsClient, librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { call, connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { newToken, parseTokens } from '../../http/tokens.ts';
import { roles } from '../../http/roles.ts';
import type { Role } from '../../http/roles.ts';
import { topics } from '../../topology.ts';
import { Poison } from '../../stream/poison.ts';
import { conversation } from '../fixtures.ts';
import { startReviewing } from './reviewing.ts';
import type { Reviewing } from './reviewing.ts';
import { endAll } from './stack.ts';

const made = new Map(roles.map((role) => [role, newToken(`${role}-token`, [role])]));

interface Letter {
  readonly id: string;
  readonly code: string;
  readonly replayed: { readonly by: string; readonly corrected: boolean } | null;
  readonly draft?: Record<string, unknown> | null;
  readonly bytes: number;
  readonly text: string | null;
  readonly base64: string | null;
}
const by = { by: 'a test', at: Date.UTC(2026, 9, 5) };
const asResends = (letters: readonly PlacedDeadLetter[]) => letters.map((letter) => ({ letter }));

interface Problem {
  readonly detail: string;
  readonly problems?: readonly { readonly field: string; readonly message: string }[];
}

describe("the operator's routes", { timeout: 300_000 }, () => {
  let reviewing: Reviewing;
  let app: ReturnType<Reviewing['server']>;

  before(async () => {
    reviewing = await startReviewing();
    app = reviewing.server(parseTokens([...made.values()].map(({ line }) => line).join('\n')));
  });
  after(() =>
    endAll(
      () => app.close(),
      () => reviewing.stop(),
    ),
  );

  async function ask(method: 'GET' | 'POST', url: string, payload?: object, role: Role | null = 'operate') {
    const headers = role === null ? {} : { authorization: `Bearer ${made.get(role)?.token ?? ''}` };
    const { statusCode, body } = await app.inject({ method, url, headers, ...(payload && { payload }) });
    return { status: statusCode, body: JSON.parse(body) as unknown };
  }
  const letters = async () => ((await ask('GET', '/v1/dead-letters')).body as { letters: Letter[] }).letters;
  const letterOf = async (id: string) => (await ask('GET', `/v1/dead-letters/${id}`)).body as Letter;

  /** Sends bytes as another producer might, and returns the dead letter that they become. */
  async function deadLetter(key: string, value: Buffer): Promise<Letter> {
    const { servers } = reviewing.stack.prepared;
    const known = new Set((await letters()).map(({ id }) => id));
    const producer = await connectProducer(librdkafkaConfig(servers.kafka, 'test'));
    producer.produce(topics.conversations.name, null, value, key);
    await call('sending', (done) => producer.flush(10_000, (error) => done(error, undefined)));
    await disconnect(producer);
    await reviewing.caughtUp();
    const letter = (await letters()).find(({ id }) => !known.has(id));
    assert.ok(letter, 'the bytes became no dead letter');
    return letter;
  }
  const encoded = (changes: object) =>
    reviewing.stack.prepared.codecs.of(topics.conversations).encode({ ...conversation({}), ...changes });

  it('correct a dead letter once: a wrong edit names its fields and loses nothing', async () => {
    const { id, code } = await deadLetter('c-1', encoded({ conversation_id: 'c-1', language: '?', nlu_confidence: 7 }));
    assert.equal(code, 'invalid-value');
    const { draft } = await letterOf(id);
    assert.deepEqual([draft?.['language'], draft?.['nlu_confidence']], ['?', 7]);
    const url = `/v1/dead-letters/${id}/correct`;

    const wrong = await ask('POST', url, { record: { ...draft, language: 'hi', nlu_confidense: 0.7 } });
    assert.equal(wrong.status, 400);
    assert.deepEqual((wrong.body as Problem).problems?.map(({ field }) => field).sort(), ['nlu_confidense']);
    const still = await ask('POST', url, { record: { ...draft, language: 'hi' } });
    assert.deepEqual(
      (still.body as Problem).problems?.map(({ field }) => field),
      ['nlu_confidence'],
    );
    assert.equal((await letterOf(id)).replayed, null);

    const record = { ...draft, language: 'hi', nlu_confidence: 0.7 };
    assert.deepEqual(await ask('POST', url, { record }), { status: 200, body: { sent: 1 } });
    const { replayed } = await letterOf(id);
    assert.deepEqual([replayed?.by, replayed?.corrected], ['operate-token', true]);
    await reviewing.caughtUp();
    const { rows } = await reviewing.stack.prepared.pool.query(
      "SELECT language, nlu_confidence FROM conversation_logs WHERE conversation_id = 'c-1'",
    );
    assert.deepEqual(rows, [{ language: 'hi', nlu_confidence: 0.7 }]);

    assert.equal((await ask('POST', url, { record })).status, 409);
    assert.deepEqual(await ask('POST', '/v1/dead-letters/replay', { ids: [id] }), { status: 200, body: { sent: 0 } });
  });

  it('correct on the command line a record that was sent as JSON', async () => {
    const { stack } = reviewing;
    const json = { conversation_id: 'c-2', user_message: 'track it', language: 'en', nlu_intent: 'track_order' };
    const { id, code } = await deadLetter('c-2', Buffer.from(JSON.stringify(json)));
    assert.equal(code, 'bad-frame');
    const samvad = async (...args: string[]) => {
      const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
      const env = { ...process.env, ...stack.env };
      return (await promisify(execFile)(process.execPath, [bin, 'dead-letters', ...args], { env })).stdout;
    };
    assert.deepEqual(JSON.parse(await samvad('show', id)), json);
    const file = path.join(stack.home, 'letter.json');
    await writeFile(file, JSON.stringify(json));
    await assert.rejects(samvad('replay', id, '--value', file), /nlu_module: It is missing/);
    const rest = { nlu_module: 'food', nlu_provider: 'llm', created_at: '2026-10-05T09:30:00Z' };
    await writeFile(file, JSON.stringify({ ...json, ...rest }));
    assert.match(await samvad('replay', id, '--value', file), /Sent the corrected record/);
    await reviewing.caughtUp();
    assert.equal((await ask('GET', '/v1/conversations/c-2')).status, 200);
    assert.equal((await letterOf(id)).replayed?.corrected, true);
  });

  it('send a dead letter as it was, and one that still fails comes back as a new one', async () => {
    const { id } = await deadLetter('c-3', Buffer.from('neither Avro nor JSON'));
    assert.equal((await letterOf(id)).draft, null);
    const open = async () => (await letters()).filter(({ replayed }) => replayed === null).map((letter) => letter.id);
    assert.deepEqual(await open(), [id]);
    assert.deepEqual(await ask('POST', '/v1/dead-letters/replay', { ids: [id] }), { status: 200, body: { sent: 1 } });
    await reviewing.caughtUp();
    const [again, ...others] = await open();
    assert.ok(again !== undefined && again !== id && others.length === 0);
    assert.equal((await letterOf(id)).replayed?.corrected, false);
  });

  it('count open dead letters: fewer after a replay, and none that have expired', async () => {
    const { prepared } = reviewing.stack;
    const log = deadLetterLog(prepared);
    const index = new DeadLetterIndex(log);
    const open = async () => {
      const { open: listed } = (await ask('GET', '/v1/dead-letters')).body as { open: number };
      await index.update();
      assert.equal(index.open, listed);
      return listed;
    };
    const before = await open();
    const { id } = await deadLetter('c-4', Buffer.from('neither'));
    const another = await deadLetter('c-4', encoded({ conversation_id: '' }));
    assert.equal(await open(), before + 2);
    assert.equal(await replayDeadLetters(log, await findDeadLetters(log, new Set([id])).then(asResends), by), 1);
    await reviewing.caughtUp();
    assert.equal(await open(), before + 2, 'it came back, and the first one is no longer open');
    let at = Date.now();
    const live = liveReader(prepared.servers, new DeadLetterIndex(log), prepared.pool, () => at);
    assert.equal((await live()).dead_letters, before + 2);
    const admin = kafkajsClient(prepared.servers.kafka, 'test').admin();
    await admin.connect();
    const partitions = (await admin.fetchTopicOffsets(topics.deadLetters.name)).map(({ partition, high }) => ({
      partition,
      offset: high,
    }));
    await admin.deleteTopicRecords({ topic: topics.deadLetters.name, partitions });
    await admin.disconnect();
    assert.equal(await open(), 0);
    at += 60_000;
    assert.equal((await live()).dead_letters, 0, 'the dashboard notices those that expired');
    assert.equal((await ask('GET', `/v1/dead-letters/${another.id}`)).status, 404);
    await deadLetter('c-5', Buffer.from('neither'));
    assert.equal(await open(), 1);
  });

  it('keep the dead letter of an old record as long as any other, and report what Kafka refuses', async () => {
    const { prepared } = reviewing.stack;
    const writer = deadLetterWriter(prepared.servers.kafka, prepared.codecs, topics.deadLetters);
    const [key, timestamp] = [Buffer.from('old'), Date.UTC(2025, 0, 1)];
    const raw = { topic: topics.routingDecisions.name, partition: 0, offset: 1, timestamp, key, traceparent: null };
    const poison = new Poison('bad-avro', 'It ends in the middle.');
    const began = Date.now();
    await writer.write('conversation-logs', { ...raw, value: Buffer.from('x') }, poison);
    const large = { ...raw, topic: topics.conversations.name, value: randomBytes(1_000_001) };
    await writer.write('intake', large, new Poison('too-large', 'It has too many bytes.'));
    const [letter] = (await letters()).filter(({ code }) => code === 'too-large');
    const { status, body } = await ask('POST', '/v1/dead-letters/replay', { ids: [letter?.id ?? ''] });
    assert.deepEqual([status, /too large/.test((body as Problem).detail)], [400, true]);
    let kept = 0;
    for await (const record of readTopic(prepared.servers.kafka, topics.deadLetters.name))
      if (record.key?.equals(key) === true) kept = record.timestamp;
    assert.ok(kept >= began - 1000, `${kept}`);
    const admin = kafkajsClient(prepared.servers.kafka, 'test').admin();
    await admin.connect();
    const limit = (value: string) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: [
          {
            type: kafkajs.ConfigResourceTypes.TOPIC,
            name: topics.deadLetters.name,
            configEntries: [{ name: 'max.message.bytes', value }],
          },
        ],
      });
    await limit('1000');
    await assert.rejects(
      writer.write('conversation-logs', { ...raw, value: randomBytes(50_000) }, poison),
      /writing a dead letter failed: .*large/i,
    );
    await limit(String(4 * 1024 * 1024));
    await writer.close();
    await admin.disconnect();
  });

  it('show the unmasked content of a dead letter only to operators', async () => {
    const value = encoded({ conversation_id: 'c-4', language: '?', user_message: 'call 98765 43210' });
    const { id } = await deadLetter('c-4', value);
    for (const role of roles.filter((one) => one !== 'ingest')) {
      const one = (await ask('GET', `/v1/dead-letters/${id}`, undefined, role)).body as Letter;
      const all = ((await ask('GET', '/v1/dead-letters', undefined, role)).body as { letters: Letter[] }).letters;
      const listed = all.find((letter) => letter.id === id);
      for (const letter of [one, listed]) {
        assert.equal(letter?.bytes, value.length);
        assert.deepEqual(
          [letter.text?.includes('98765'), letter.base64],
          role === 'operate' ? [true, value.toString('base64')] : [undefined, null],
          role,
        );
      }
      assert.equal(one.draft?.['user_message'], role === 'operate' ? 'call 98765 43210' : undefined, role);
    }
  });

  it('refuse dead letters that do not exist, and malformed bodies', async () => {
    const replay = '/v1/dead-letters/replay';
    const bodies = [{}, { ids: [] }, { ids: ['x'] }, { ids: ['0/0'], more: 1 }];
    for (const body of bodies) assert.equal((await ask('POST', replay, body)).status, 400, JSON.stringify(body));
    assert.equal((await ask('POST', replay, { ids: ['0/99999'] })).status, 404);
    assert.equal((await ask('POST', '/v1/dead-letters/0/99999/correct', { record: {} })).status, 404);
    assert.equal((await ask('POST', '/v1/dead-letters/0/x/correct', { record: {} })).status, 400);
    const [letter] = await letters();
    assert.equal((await ask('POST', `/v1/dead-letters/${letter?.id ?? ''}/correct`, { record: 1 })).status, 400);
  });

  const strict = { ...defaultPolicy, version: 'routing-v2', thresholds: { trust: 0.95, doubt: 0.6 } };

  it('try a policy on the last days without changing anything, and adopt it in the name of the token', async () => {
    const now = new Date().toISOString();
    await reviewing.capture([
      { conversation_id: 'p-1', created_at: now, nlu_confidence: 0.9 },
      { conversation_id: 'p-2', created_at: '2026-10-05T09:30:00Z', nlu_confidence: 0.9 },
    ]);
    const tried = await ask('POST', '/v1/policies/what-if', { policy: strict, days: 1 }, 'read');
    assert.equal(tried.status, 200);
    const { conversations, transitions } = tried.body as { conversations: number; transitions: readonly object[] };
    assert.equal(conversations, 1, 'only what came on the last day');
    assert.match(JSON.stringify(transitions), /"from":"auto_approved","to":"needs_review","conversations":1/);
    assert.equal(((await ask('GET', '/v1/policies')).body as readonly object[]).length, 1);

    const adoption = { policy: strict, reason: 'fewer wrong labels', adopted_by: 'somebody else' };
    const adopted = { status: 200, body: { version: 'routing-v2', outcome: 'in force' } };
    assert.deepEqual(await ask('POST', '/v1/policies', adoption), adopted);
    const history = (await ask('GET', '/v1/policies')).body as readonly { adopted_by: string | null; reason: string }[];
    assert.deepEqual([history.at(-1)?.adopted_by, history.at(-1)?.reason], ['operate-token', 'fewer wrong labels']);
    const known = { status: 200, body: { version: 'routing-v2', outcome: 'known' } };
    assert.deepEqual(await ask('POST', '/v1/policies', adoption), known);
  });

  it('refuse a policy and name the wrong field', async () => {
    const bad: readonly (readonly [url: string, body: object, wrong: RegExp])[] = [
      ['/v1/policies', { policy: { ...strict, audit_share: 0.2 }, reason: 'x' }, /version: routing-v2 was adopted/],
      ['/v1/policies', { policy: { ...strict, version: 'routing-v3' }, reason: '' }, /reason/],
      ['/v1/policies', { reason: 'x' }, /policy/],
      ['/v1/policies/what-if', { policy: { ...strict, thresholds: { trust: 2, doubt: 0.6 } } }, /trust/],
      ['/v1/policies/what-if', { policy: strict, days: 0 }, /days is 0/],
    ];
    for (const [url, body, wrong] of bad) {
      const { status, body: problem } = await ask('POST', url, body);
      assert.equal(status, 400, JSON.stringify(body));
      assert.match((problem as Problem).detail, wrong);
    }
    assert.equal(((await ask('GET', '/v1/policies')).body as readonly object[]).length, 2);
  });

  it('refuse callers without the role, and change nothing', async () => {
    const before = [await letters(), (await ask('GET', '/v1/policies')).body];
    const [open] = (await letters()).filter(({ replayed }) => replayed === null);
    const id = open?.id ?? '';
    const record = conversation({});
    const posts: readonly (readonly [url: string, body: object])[] = [
      ['/v1/dead-letters/replay', { ids: [id] }],
      [`/v1/dead-letters/${id}/correct`, { record }],
      ['/v1/policies', { policy: { ...strict, version: 'routing-v4' }, reason: 'x' }],
    ];
    for (const [url, body] of posts) {
      for (const role of ['read', 'review', 'ingest'] as const)
        assert.equal((await ask('POST', url, body, role)).status, 403, `${url} as ${role}`);
      assert.equal((await ask('POST', url, body, null)).status, 401, url);
    }
    assert.equal((await ask('POST', '/v1/policies/what-if', { policy: strict }, 'ingest')).status, 403);
    assert.deepEqual([await letters(), (await ask('GET', '/v1/policies')).body], before);
  });
});
