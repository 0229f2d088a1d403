import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { newToken, parseTokens } from '../../http/tokens.ts';
import { dailyPage } from '../../jobs/daily-page.ts';
import { readDailyReport } from '../../jobs/daily-report.ts';
import { readAgreement } from '../../kpi/read-agreement.ts';
import type { AgreementReport } from '../../kpi/read-agreement.ts';
import type { Agreement } from '../../policy/agreement.ts';
import { readHistory } from '../../review/history.ts';
import type { ReviewTask } from '../../review/tasks.ts';
import { digestTable, rebuildProjection } from '../../runtime/rebuild.ts';
import { conversationReviews } from '../../sinks/conversation-reviews.ts';
import { startReviewing } from './reviewing.ts';
import type { Reviewing } from './reviewing.ts';
import { endAll } from './stack.ts';
import type { Stack } from './stack.ts';

const NOON = '2026-10-05T12:00:00Z';

describe('the review queue on real servers', () => {
  let reviewing: Reviewing;
  let stack: Stack;
  let app: ReturnType<Reviewing['server']>;

  before(async () => {
    reviewing = await startReviewing();
    stack = reviewing.stack;
    app = reviewing.server();
    await capture(
      Array.from({ length: 40 }, (_, i) => ({
        conversation_id: `q-${String(i)}`,
        user_message: `question about thing ${'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN'[i] ?? ''} ${'x'.repeat(i)}`,
        nlu_module: i % 2 === 0 ? 'food' : 'ride',
        language: i % 4 === 0 ? 'hi' : 'en',
        nlu_confidence: i % 3 === 0 ? 0.5 : 0.75,
      })),
    );
  });
  after(() =>
    endAll(
      () => app.close(),
      () => reviewing.stop(),
    ),
  );

  const capture: Reviewing['capture'] = (inputs) => reviewing.capture(inputs);
  const caughtUp = () => reviewing.caughtUp();
  const row = async (id: string) => readHistory(stack.prepared.pool, id);
  const sql = async (text: string) => (await stack.prepared.pool.query<Record<string, unknown>>(text)).rows;

  async function post(url: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await app.inject({ method: 'POST', url, payload: body });
    return { status: response.statusCode, body: response.body === '' ? {} : response.json() };
  }

  async function next(reviewer: string, fields: object = {}): Promise<ReviewTask[]> {
    const { status, body } = await post('/v1/review-queue/next', { reviewer, session: reviewer, ...fields });
    assert.equal(status, 200, JSON.stringify(body));
    return body['items'] as ReviewTask[];
  }

  const answer = (reviewer: string, answers: readonly object[], fields: object = {}) =>
    post('/v1/review-queue/answers', {
      reviewer,
      session: reviewer,
      answers: answers.map((one) => ({ review_id: randomUUID(), verdict: 'approve', reviewed_at: NOON, ...one })),
      ...fields,
    });
  const ids = (tasks: readonly ReviewTask[]) => tasks.map(({ conversation_id }) => conversation_id);

  it('lists waiting items in order, by module, language and route', async () => {
    const list = async (query: string) =>
      (await app.inject({ url: `/v1/review-queue?${query}` })).json<{ waiting: number; items: ReviewTask[] }>();
    const all = await list('limit=200');
    assert.equal(all.waiting, 40);
    assert.ok((await list('module=ride&limit=200')).items.every(({ nlu_module }) => nlu_module === 'ride'));
    for (const tag of ['hi', 'HI']) assert.equal((await list(`language=${tag}`)).waiting, 10, tag);
    assert.deepEqual(await list('language=hi&offset=50'), { waiting: 10, items: [] });
    const first = (await list('route=priority-review&limit=200')).items.map(({ route }) => route);
    assert.deepEqual(new Set(first.filter((route) => route !== null)), new Set(['priority-review']));
    assert.equal((await app.inject({ url: '/v1/review-queue?route=audit' })).statusCode, 400);
    assert.equal((await list('module=&language=')).waiting, 40);
  });

  it('treats null as absent, and releases no item because of it', async () => {
    const lent = await next('null', { count: 3 });
    const nothing = { module: null, language: null, route: null, first: null, join: null, since: null, count: null };
    assert.deepEqual(ids(await next('null', nothing)).slice(0, 3), ids(lent));
    await post('/v1/review-queue/release', { reviewer: 'null', session: 'null' });
  });

  it('lends an item to one person at a time, also when many ask at once, and the same items again to the same page', async () => {
    const reviewers = Array.from({ length: 8 }, (_, i) => `reviewer-${String(i)}`);
    const given = await Promise.all(reviewers.map((reviewer) => next(reviewer, { count: 5 })));
    const all = given.flatMap(ids);
    assert.equal(all.length, 40);
    assert.equal(new Set(all).size, 40);
    assert.deepEqual(await next('late'), []);
    assert.deepEqual(ids(await next('reviewer-0', { count: 5 })), ids(given[0] ?? []));
    // A restart of the server: the leases are in Postgres.
    const restarted = reviewing.server();
    const again = await restarted.inject({
      method: 'POST',
      url: '/v1/review-queue/next',
      payload: { reviewer: 'reviewer-0', session: 'reviewer-0' },
    });
    assert.deepEqual(ids(again.json<{ items: ReviewTask[] }>().items), ids(given[0] ?? []));
    await restarted.close();
    for (const reviewer of reviewers) await post('/v1/review-queue/release', { reviewer, session: reviewer });
    assert.equal((await next('late', { count: 40 })).length, 40);
    await post('/v1/review-queue/release', { reviewer: 'late', session: 'late' });
  });

  it('lends an item of a silent page to somebody else, and accepts a late answer of that page', async () => {
    const [lent] = await next('sleepy', { count: 1, module: 'ride' });
    const id = lent?.conversation_id ?? '';
    await sql(`UPDATE review_leases SET expires_at = now() - interval '1 second' WHERE conversation_id = '${id}'`);
    assert.deepEqual(ids(await next('awake', { count: 1, first: id })).slice(0, 1), [id]);
    assert.equal((await answer('awake', [{ conversation_id: id }])).status, 202);
    await caughtUp();
    const late = { conversation_id: id, verdict: 'correct', corrected_intent: 'track_order', corrected_module: 'food' };
    assert.equal((await answer('sleepy', [late])).status, 202);
    await caughtUp();
    const history = await row(id);
    assert.equal(history?.['corrected_module'], 'food');
    assert.deepEqual(
      history.timeline.flatMap((entry) => ('review' in entry ? [(entry.review as { reviewer: string }).reviewer] : [])),
      ['awake', 'sleepy'],
    );
  });

  it('removes an answered item at once, counts the answer once however often it is sent, and restores the item after an undo', async () => {
    const [task] = await next('asha', { count: 1, language: 'en' });
    const id = task?.conversation_id ?? '';
    const shown = { intent: task?.nlu_intent, module: task?.nlu_module, confidence: task?.nlu_confidence };
    const review_id = randomUUID();
    const once = { review_id, conversation_id: id, time_taken_ms: 2100, shown };
    assert.equal((await answer('asha', [once])).status, 202);
    assert.ok(!ids(await next('ravi', { count: 50 })).includes(id));
    assert.equal((await answer('asha', [once])).status, 202);
    await caughtUp();
    assert.equal((await row(id))?.['review_status'], 'approved');
    assert.deepEqual(
      await sql(
        `SELECT source, time_taken_ms, shown->>'intent' AS intent FROM conversation_reviews WHERE conversation_id = '${id}'`,
      ),
      [{ source: 'inbox', time_taken_ms: 2100, intent: 'track_order' }],
    );
    const undo = { conversation_id: id, verdict: 'skip', withdraws: review_id, reviewed_at: '2026-10-05T12:01:00Z' };
    assert.equal((await answer('asha', [undo])).status, 202);
    await post('/v1/review-queue/release', { reviewer: 'ravi', session: 'ravi' });
    assert.ok(!ids(await next('ravi', { count: 50 })).includes(id), 'it is lent to the person who undid the answer');
    await caughtUp();
    assert.equal((await row(id))?.['review_status'], 'needs-review');
    assert.ok(ids(await next('asha', { count: 50 })).includes(id));
    assert.deepEqual(
      (await row(id))?.timeline.map(({ what }) => what),
      ['captured', 'routed', 'reviewed', 'sample approved', 'withdrew', 'sample withdrawn'],
    );
    for (const reviewer of ['asha', 'ravi']) await post('/v1/review-queue/release', { reviewer, session: reviewer });
  });

  it('does not lend an item that was answered again after an undo, while the queue has processed only the undo', async () => {
    await capture([{ conversation_id: 'anew', user_message: 'once more?', nlu_module: 'anew' }]);
    await sql("CREATE TABLE waiting AS SELECT * FROM review_queue WHERE conversation_id = 'anew'");
    assert.deepEqual(ids(await next('asha', { module: 'anew' })), ['anew']);
    const [review_id, reviewed_at] = [randomUUID(), NOON];
    const undo = { conversation_id: 'anew', verdict: 'skip', withdraws: review_id, reviewed_at };
    await answer('asha', [{ review_id, conversation_id: 'anew' }]);
    await answer('asha', [undo]);
    await answer('asha', [{ review_id: randomUUID(), conversation_id: 'anew', verdict: 'reject' }]);
    await caughtUp();
    const after = async () => [await next('asha', { module: 'anew' }), await next('ravi', { module: 'anew' })];
    assert.deepEqual(await after(), [[], []]);
    await sql('INSERT INTO review_queue SELECT * FROM waiting'); // as it stood between undo and answer
    assert.deepEqual(await after(), [[], []]);
    await sql("DELETE FROM review_queue WHERE conversation_id = 'anew'; DROP TABLE waiting");
  });

  it('answers near-duplicates of one prediction together, and lends none of them to anybody else', async () => {
    await capture(
      ['Refund 1?', 'refund 22', 'REFUND, 333!'].map((user_message, i) => ({
        conversation_id: `dup-${String(i)}`,
        user_message,
        nlu_intent: 'refund_status',
        nlu_module: 'payment',
        nlu_confidence: 0.6,
      })),
    );
    // An item that was drawn by chance stands alone.
    const drawn = await sql("SELECT conversation_id FROM review_queue WHERE drawn AND nlu_module = 'payment'");
    const tasks = await next('asha', { count: 5, module: 'payment' });
    const group = tasks.find((task) => task.group.length > 0);
    assert.equal(group?.group.length, 2 - drawn.length);
    assert.deepEqual(await next('ravi', { count: 5, module: 'payment' }), []);
    const members = tasks.flatMap((task) => [...ids([task]), ...task.group.map((one) => one.conversation_id)]);
    assert.equal(
      (
        await answer(
          'asha',
          members.map((conversation_id) => ({ conversation_id })),
        )
      ).status,
      202,
    );
    await caughtUp();
    assert.deepEqual(await sql("SELECT count(*)::int AS n FROM review_queue WHERE nlu_module = 'payment'"), [{ n: 0 }]);
  });

  it('finds the next text behind any number of equal ones', async () => {
    await capture([
      ...Array.from({ length: 40 }, (_, i) => ({
        conversation_id: `flood-${String(i)}`,
        user_message: `hello ${String(i)}`,
        nlu_module: 'flood',
        nlu_confidence: 0.5,
      })),
      { conversation_id: 'flood-other', user_message: 'something else', nlu_module: 'flood' },
    ]);
    const tasks = await next('asha', { count: 2, module: 'flood' });
    assert.ok(ids(tasks).includes('flood-other'), JSON.stringify(ids(tasks)));
    assert.ok(tasks.some(({ group }) => group.length > 30));
    await post('/v1/review-queue/release', { reviewer: 'asha', session: 'asha' });
    await answer('asha', await sql("SELECT conversation_id FROM review_queue WHERE nlu_module = 'flood'"));
    await caughtUp();
  });

  it('offers similar messages, lends those that join, and undoes their answers one by one', async () => {
    const texts = {
      'near-0': 'please tell me where my order is right now',
      'near-1': 'pls tell me where my order is right now',
      'near-2': 'tell me where my order is right now',
      'near-3': 'cancel the subscription of my brother',
      'near-5': 'please tell me where my order is right now!!',
    };
    await capture(
      Object.entries(texts).map(([conversation_id, user_message]) => ({
        ...{ conversation_id, user_message, nlu_module: 'near' },
        ...(conversation_id === 'near-2' && { nlu_intent: 'cancel_order' }),
      })),
    );
    const shown = (task?: ReviewTask) =>
      task && {
        id: task.conversation_id,
        group: task.group.map(({ conversation_id }) => conversation_id),
        similar: task.similar.map(({ conversation_id, joined }) => [conversation_id, joined]),
      };
    const first = { count: 1, module: 'near', first: 'near-0' };
    const offered = { id: 'near-0', group: ['near-5'], similar: [['near-1', false]] };
    assert.deepEqual((await next('asha', first)).map(shown), [offered]);

    assert.deepEqual(ids(await next('ravi', { count: 1, module: 'near', first: 'near-1' })), ['near-1']);
    const join = { lead: 'near-0', ids: ['near-1', 'near-2', 'near-3'] };
    const alone = { ...offered, similar: [] };
    assert.deepEqual((await next('asha', { ...first, join })).map(shown), [alone], 'what ravi has is not offered');
    await post('/v1/review-queue/release', { reviewer: 'ravi', session: 'ravi' });
    const joined = { ...offered, similar: [['near-1', true]] };
    assert.deepEqual(
      (await next('asha', { ...first, join })).map(shown),
      [joined],
      'nor are messages with another meaning',
    );
    assert.deepEqual(ids(await next('ravi', { count: 5, module: 'near' })).sort(), ['near-2', 'near-3']);
    await post('/v1/review-queue/release', { reviewer: 'ravi', session: 'ravi' });

    const members = ['near-0', 'near-5', 'near-1', 'near-3'];
    const answers = members.map((conversation_id) => ({ review_id: randomUUID(), conversation_id }));
    await answer('asha', answers);
    await caughtUp();
    assert.deepEqual(ids(await next('asha', { count: 5, module: 'near' })), ['near-2']);
    await answer(
      'asha',
      answers.map(({ review_id, conversation_id }) => ({ conversation_id, verdict: 'skip', withdraws: review_id })),
    );
    await caughtUp();
    const back = (await next('asha', { count: 5, module: 'near' })).map(shown);
    assert.deepEqual(
      back.find((task) => task?.id === 'near-0'),
      offered,
    );
    assert.deepEqual(back.map((task) => task?.id).sort(), ['near-0', 'near-1', 'near-2', 'near-3']);
    await post('/v1/review-queue/release', { reviewer: 'asha', session: 'asha' });
  });

  it('shows nobody which of the items drawn by chance are audits until they are answered', async () => {
    await capture(
      Array.from({ length: 120 }, (_, i) => ({
        conversation_id: `blind-${String(i)}`,
        user_message: `blind ${'x'.repeat(i)}`,
        nlu_module: 'blind',
        nlu_confidence: i < 80 ? 0.95 : 0.75,
        model_version: 'router-v1.0.0',
        processing_time_ms: i < 80 ? 40 : 900,
        routing_target: i < 80 ? 'opensearch' : 'php',
        runners_up: [{ intent: 'cancel_order', module: 'blind', confidence: 0.02 }],
      })),
    );
    const drawn = await sql(
      `SELECT conversation_id, c.audit FROM review_queue q JOIN conversation_logs c USING (conversation_id)
        WHERE q.drawn AND q.nlu_module = 'blind' AND NOT c.overlap`,
    );
    const [audit, other] = [true, false].map((audited) =>
      String(drawn.find((r) => r['audit'] === audited)?.['conversation_id']),
    );
    const look = async (id = '') => (await app.inject(`/v1/conversations/${id}`)).json<Record<string, unknown>>();
    const find = async (query: string) =>
      (await app.inject(`/v1/conversations?${query}`)).json<Record<string, unknown>[]>();
    // Blanks what always differs: id, message, times, and place in the log.
    const alike = (conversation: Record<string, unknown>) =>
      JSON.stringify(conversation).replaceAll(/blind-\d+|blind x*|"2026-[^"]+"|"log_(offset|partition)":"?\d+"?/g, '…');
    assert.equal(alike(await look(audit)), alike(await look(other)));
    const [first] = await find(`q=${audit}`);
    const [second] = await find(`q=${other}`);
    assert.equal(alike(first ?? {}), alike(second ?? {}));
    for (const known of ['route=auto-approved', 'review_status=auto-approved', 'nlu_provider=indicbert'])
      assert.deepEqual(await find(`q=${audit}&${known}`), [], known);
    await answer('asha', [{ conversation_id: audit }]);
    await caughtUp();
    assert.equal((await look(audit))['route'], 'auto-approved');
    assert.equal((await look(audit))['audit'], true);
  });

  it('lends an item drawn by chance every eighth time, the latest day first, to a reviewer who always takes the first item', async () => {
    await capture(
      Array.from({ length: 200 }, (_, i) => ({
        conversation_id: `turn-${String(i)}`,
        user_message: `turn ${'x'.repeat(i)}`,
        nlu_module: 'turns',
        created_at: new Date(Date.UTC(2026, 9, 6 + (i % 2), 12)),
      })),
    );
    const days = await sql(
      "SELECT created_at::date::text AS day FROM review_ranking WHERE drawn AND nlu_module = 'turns' ORDER BY place_in_lane",
    );
    const inOrder = days.map(({ day }) => String(day));
    assert.deepEqual(inOrder, inOrder.toSorted().toReversed());
    assert.equal(new Set(inOrder).size, 2);
    const drawn = new Set(
      (await sql('SELECT conversation_id FROM review_queue WHERE drawn')).map((r) => r['conversation_id']),
    );
    const turns: boolean[] = [];
    for (let i = 0; i < 24; i++) {
      const [task] = await next('patient', { count: 1, module: 'turns' });
      turns.push(drawn.has(task?.conversation_id));
      await answer('patient', [{ conversation_id: task?.conversation_id }]);
    }
    assert.deepEqual(
      turns.flatMap((isDrawn, i) => (isDrawn ? [i + 1] : [])),
      [8, 16, 24],
    );
    await caughtUp();
  });

  it('asks a second person about a share of the items, never the first one again, and measures how far they agree', async () => {
    const overlapped = await sql(
      "SELECT q.conversation_id FROM review_queue q JOIN conversation_logs c USING (conversation_id) WHERE c.overlap AND answered_by = '[]' ORDER BY 1",
    );
    assert.ok(overlapped.length > 2, 'some of 200');
    for (const [i, { conversation_id }] of overlapped.entries()) {
      assert.equal((await answer('first', [{ conversation_id }])).status, 202);
      await caughtUp();
      assert.ok(
        !ids(await next('first', { count: 1, first: conversation_id as string })).includes(conversation_id as string),
      );
      await post('/v1/review-queue/release', { reviewer: 'first', session: 'first' });
      const [task] = await next('second', { count: 1, first: conversation_id as string });
      assert.equal(task?.conversation_id, conversation_id);
      const verdict = i === 0 ? { verdict: 'reject' } : {};
      assert.equal((await answer('second', [{ conversation_id, ...verdict }])).status, 202);
      await post('/v1/review-queue/release', { reviewer: 'second', session: 'second' });
    }
    await caughtUp();
    const agreement = await readAgreement(stack.prepared.pool);
    const pair = agreement.by_reviewers.find(({ first, second }) => first === 'first' && second === 'second');
    assert.equal(pair?.pairs, overlapped.length);
    assert.ok(Math.abs((pair.observed ?? 0) - (overlapped.length - 1) / overlapped.length) < 1e-9);
    assert.deepEqual(
      await sql(
        "SELECT count(*)::int AS n FROM review_queue q JOIN conversation_logs c USING (conversation_id) WHERE c.overlap AND answered_by ? 'first'",
      ),
      [{ n: 0 }],
    );
  });

  it('shows the kappa of two reviewers everywhere as the formula gives it', async () => {
    await capture(
      Array.from({ length: 400 }, (_, i) => ({
        conversation_id: `pair-${String(i)}`,
        user_message: `fare of trip ${'x'.repeat(i)}`,
        nlu_module: 'pair',
      })),
    );
    const both = (
      await sql("SELECT conversation_id FROM conversation_logs WHERE nlu_module = 'pair' AND overlap ORDER BY 1")
    ).map(({ conversation_id }) => conversation_id as string);
    assert.ok(both.length >= 12, 'some of 400');
    // Uma rejects every third and Vik every second: each of the four outcomes occurs.
    const cells = { approved: 0, uma: 0, vik: 0, rejected: 0 };
    const rejects = (i: number) => ({ uma: i % 3 === 0, vik: i % 2 === 0 });
    for (const i of both.keys()) {
      const { uma, vik } = rejects(i);
      cells[uma && vik ? 'rejected' : uma ? 'uma' : vik ? 'vik' : 'approved']++;
    }
    const day = '2026-11-20';
    const give = async (reviewer: 'uma' | 'vik', some: readonly number[]) => {
      const { status } = await answer(
        reviewer,
        some.map((i) => ({
          conversation_id: both[i],
          verdict: rejects(i)[reviewer] ? 'reject' : 'approve',
          reviewed_at: `${day}T09:00:00Z`,
        })),
      );
      assert.equal(status, 202);
      await caughtUp();
    };
    // Each is the first to answer half of them.
    const half = both.length >> 1;
    const [early, late] = [[...both.keys()].slice(0, half), [...both.keys()].slice(half)];
    for (const [reviewer, some] of [
      ['uma', early],
      ['vik', late],
      ['vik', early],
      ['uma', late],
    ] as const)
      await give(reviewer, some);

    // For two labels kappa is 2 (ad − bc) / ((a + b)(b + d) + (a + c)(c + d)) (Fleiss, 1975).
    const { approved: a, uma: b, vik: c, rejected: d } = cells;
    const kappa = (2 * (a * d - b * c)) / ((a + b) * (b + d) + (a + c) * (c + d));
    const holds = (where: string, shown: Agreement) => {
      assert.deepEqual(
        [shown.pairs, shown.observed?.toFixed(9)],
        [both.length, ((a + d) / both.length).toFixed(9)],
        where,
      );
      assert.equal(shown.kappa?.toFixed(9), kappa.toFixed(9), where);
    };
    const get = async <T>(url: string) => (await app.inject({ url })).json<T>();
    const { by_reviewers } = await get<AgreementReport>('/v1/review-agreement');
    const pair = by_reviewers.find(({ first, second }) => first === 'uma' && second === 'vik');
    assert.ok(pair);
    holds('/v1/review-agreement', pair);
    const { agreement } = await get<{ agreement: Agreement }>(`/v1/accuracy?from=${day}&to=${day}`);
    holds('/v1/accuracy', agreement);
    const inputs = {
      closedAt: 0,
      training: { unused: 0, threshold: 1, reached: false },
      told: new Map<string, number>(),
    };
    const report = await readDailyReport(stack.prepared.pool, day, inputs);
    holds('the daily report', report.accuracy.agreement);
    const sentence = `kappa is ${kappa.toFixed(2)}.`;
    assert.ok(dailyPage(report).includes(sentence));
    const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
    const args = [bin, 'accuracy', '--from', day, '--to', day];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...stack.env } });
    assert.ok(stdout.includes(sentence), stdout);
  });

  it('refuses an invalid answer with a sentence, and stores nothing of the request', async () => {
    await capture([
      {
        conversation_id: 'thought-of',
        nlu_confidence: 0.5,
        runners_up: [{ module: 'food', intent: 'only_thought_of', confidence: 0.1 }],
      },
    ]);
    const reviewsBefore = await sql('SELECT count(*)::int AS n FROM conversation_reviews');
    const good = { conversation_id: 'q-1' };
    const correct = { ...good, verdict: 'correct', corrected_module: 'food' };
    const review = (fields: object) => ({ verdict: 'approve', reviewer: 'asha', reviewed_at: NOON, ...fields });
    const cases: readonly (readonly [number, string, Promise<{ status: number; body: Record<string, unknown> }>])[] = [
      [404, 'unknown-conversation', answer('asha', [good, { conversation_id: 'never-came' }])],
      [422, 'unknown-label', answer('asha', [good, { ...correct, corrected_intent: 'trak_order' }])],
      // A label that the model suggested for another conversation.
      [422, 'unknown-label', answer('asha', [{ ...correct, corrected_intent: 'only_thought_of' }])],
      [400, 'invalid-records', answer('asha', [good, { ...correct, corrected_intent: '<script>' }])],
      [400, 'invalid-records', answer('asha', [good, { ...good, verdict: 'maybe' }])],
      [400, 'invalid-request', answer('', [good])],
      [400, 'invalid-request', answer('asha', [])],
      [
        422,
        'unknown-label',
        post('/v1/reviews', [review(good), review({ ...correct, corrected_intent: 'trak_order' })]),
      ],
      [400, 'invalid-request', post('/v1/review-queue/answers', {})],
      [400, 'invalid-request', post('/v1/review-queue/next', {})],
    ];
    for (const [status, type, refused] of cases) {
      const response = await refused;
      assert.deepEqual([response.status, response.body['type']], [status, `urn:samvad:problem:${type}`]);
    }
    const empty = await app.inject({
      method: 'POST',
      url: '/v1/review-queue/answers',
      payload: '',
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(empty.statusCode, 400);
    await caughtUp();
    assert.deepEqual(await sql('SELECT count(*)::int AS n FROM conversation_reviews'), reviewsBefore);
    const runnerUp = { ...correct, conversation_id: 'thought-of', corrected_intent: 'only_thought_of' };
    assert.equal((await answer('asha', [runnerUp])).status, 202);
    const added = await answer('asha', [{ ...correct, corrected_intent: 'brand_new' }], { new_label: true });
    assert.equal(added.status, 202);
    for (const [url, fields] of [
      ['/v1/reviews', { ...correct, corrected_intent: 'track_order', conversation_id: 'q-3' }],
      ['/v1/reviews', { ...correct, corrected_intent: 'trak_order', conversation_id: 'yet-to-come' }],
      ['/v1/reviews?new_label=true', { ...correct, corrected_intent: 'new_too', conversation_id: 'q-3' }],
    ] as const)
      assert.equal((await post(url, review(fields))).status, 202, JSON.stringify(fields));
    await caughtUp();
    const labels = (await app.inject({ url: '/v1/labels' })).json<{ module: string; intent: string }[]>();
    for (const added of ['brand_new', 'new_too'])
      assert.ok(labels.some(({ module, intent }) => module === 'food' && intent === added));
  });

  it("lets a reviewer's token undo only its own answers, and a token that sends the answers of others undo all", async (t) => {
    await capture([{ conversation_id: 'own', nlu_confidence: 0.5 }]);
    const made = {
      asha: newToken('asha', ['review']),
      ravi: newToken('ravi', ['review']),
      tool: newToken('tool', ['review', 'ingest']),
    };
    const secured = reviewing.server(
      parseTokens(
        Object.values(made)
          .map(({ line }) => line)
          .join('\n'),
      ),
    );
    t.after(() => secured.close());
    const send = async (who: keyof typeof made, url: string, payload: object | object[]) => {
      const headers = { authorization: `Bearer ${made[who].token}` };
      const response = await secured.inject({ method: 'POST', url, headers, payload });
      return response.statusCode;
    };
    const review = (review_id: string, fields: object) => ({
      ...{ conversation_id: 'own', review_id, verdict: 'skip', reviewed_at: NOON, ...fields },
    });
    const inbox = (one: object) => ({ session: 's', answers: [one] });
    assert.equal(await send('asha', '/v1/review-queue/answers', inbox(review('of-asha', { verdict: 'approve' }))), 202);
    await caughtUp();
    const undo = review('undo-1', { withdraws: 'of-asha' });
    const annotation = review('undo-2', { withdraws: 'label-studio/1/2026-11-25T15:00:00.000001Z' });
    for (const [status, who, one] of [
      [422, 'ravi', undo],
      [422, 'ravi', annotation],
      [202, 'ravi', review('undo-3', { withdraws: 'not-here-yet' })],
      [202, 'tool', annotation],
      [202, 'asha', undo],
    ] as const) {
      assert.equal(await send(who, '/v1/reviews', { ...one, reviewer: who }), status, `${who} ${one.review_id}`);
      if (status === 422) assert.equal(await send(who, '/v1/review-queue/answers', inbox(one)), status);
    }
    await caughtUp();
    assert.equal((await row('own'))?.['review_status'], 'needs-review');
  });

  it('opens with ten thousand waiting items, and lends the first', async () => {
    await sql(`INSERT INTO review_queue
      SELECT (jsonb_populate_record(one.q, jsonb_build_object('conversation_id', 'crowd-' || n, 'user_message', 'crowd ' || n,
               'nlu_module', 'crowd', 'fingerprint', 'crowd-' || n, 'drawn', false, 'answered_by', '[]'::jsonb, 'score', n))).*
        FROM generate_series(1, 10000) n, (SELECT r AS q FROM review_queue r LIMIT 1) one`);
    const items = await next('crowded', { count: 6, module: 'crowd' });
    assert.equal(items[0]?.conversation_id, 'crowd-10000');
    assert.equal(items.length, 6);
    await post('/v1/review-queue/release', { reviewer: 'crowded', session: 'crowded' });
    await sql("DELETE FROM review_queue WHERE nlu_module = 'crowd'");
  });

  it('refuses an answer to a conversation that is no longer there', async () => {
    await capture([{ conversation_id: 'gone' }]);
    await sql("DELETE FROM conversation_logs WHERE conversation_id = 'gone'");
    await sql("DELETE FROM review_queue WHERE conversation_id = 'gone'");
    const { status, body } = await answer('asha', [{ conversation_id: 'gone' }]);
    assert.equal(status, 404);
    assert.match(String(body['detail']), /not here, or not yet/);
  });

  it('keeps the same history when it is rebuilt from the log', async () => {
    const { pool, servers, codecs } = stack.prepared;
    const before = await digestTable(pool, conversationReviews);
    await rebuildProjection({
      projection: conversationReviews,
      kafka: servers.kafka,
      codec: codecs.of(conversationReviews.topic),
      pool,
    });
    assert.equal(await digestTable(pool, conversationReviews), before);
  });
});
