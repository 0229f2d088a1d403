import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type pg from 'pg';
import { pino } from 'pino';
import { labelStudioApi } from '../../label-studio/api.ts';
import { connectHttp, LabelStudioError, LabelStudioRefused } from '../../label-studio/http.ts';
import { PREDICTED_BY } from '../../label-studio/task.ts';
import { synchronise } from '../../label-studio/sync.ts';
import type { SyncContext, SyncReport } from '../../label-studio/sync.ts';
import type { ReviewSubmitted } from '../../schemas/types.ts';
import { startDatabase } from '../integration/stack.ts';
import type { Database } from '../integration/stack.ts';
import { jwt, startStub } from './stub-server.ts';
import type { Fault, StubServer } from './stub-server.ts';

const label = ['food', 'track_order'] as const;

describe('a synchronisation with a faulty Label Studio', () => {
  let database: Database;
  let pool: pg.Pool;
  let stub: StubServer;
  let sent: ReviewSubmitted[];
  let context: SyncContext;
  let kafkaFails: boolean;

  before(async () => {
    database = await startDatabase();
    ({ pool } = database);
  });
  after(() => database.stop());
  beforeEach(async () => {
    stub = await startStub();
    [sent, kafkaFails] = [[], false];
    const config = { url: stub.url, apiKey: jwt({ token_type: 'refresh' }), openTasks: 200, syncSeconds: 60 };
    const reviews = {
      send(batch: readonly ReviewSubmitted[]) {
        sent.push(...batch);
        return kafkaFails ? Promise.reject(new Error('the outcome is not known')) : Promise.resolve();
      },
      close: () => Promise.resolve(),
    };
    const api = labelStudioApi(connectHttp(config, 2000));
    context = { config, api, pool, reviews, log: pino({ level: 'silent' }) };
    await pool.query(`TRUNCATE conversation_logs, review_queue, review_leases, erasures, labelstudio_tasks, labelstudio_annotations, labelstudio_outbox;
      DELETE FROM labelstudio_projects WHERE id > 1;
      UPDATE labelstudio_projects SET url = NULL, label_studio_project_id = NULL, scanned_to = NULL, full_scan_at = NULL,
        last_error = NULL, tasks_pushed = 0, tasks_closed = 0, reviews = 0`);
  });
  afterEach(() => stub.close());

  /** Inserts conversations that wait, the first with the highest score. */
  async function wait(...ids: readonly string[]): Promise<void> {
    for (const [i, id] of ids.entries()) {
      await pool.query(
        `INSERT INTO conversation_logs (conversation_id, user_message, language, nlu_intent, nlu_module, nlu_confidence, nlu_provider,
           model_version, entities, route, route_reasons, policy_version, audit, review_status, revision, overlap, runners_up, created_at, log_partition, log_offset)
         VALUES ($1, $1, 'en', $3, $2, 0.5, 'indicbert', 'router-v1.0.0', '[]', 'needs-review', '[]', 'v1', false, 'needs-review', 0, false, '[]',
           now() - interval '1 minute', 0, $4)`,
        [id, ...label, i],
      );
      await pool.query(
        `INSERT INTO review_queue (conversation_id, user_message, language, nlu_intent, nlu_module, nlu_confidence, nlu_provider, entities,
           priority_class, score, reasons, fingerprint, sketch, policy_version, model_version, runners_up, drawn, answered_by, created_at, log_partition, log_offset)
         VALUES ($1, $1, 'en', $3, $2, 0.5, 'indicbert', '[]', 2, $4, '[]', $1, '[]', 'v1', 'router-v1.0.0', '[]', false, '[]', now() - interval '1 minute', 0, 0)`,
        [id, ...label, 1 / (i + 1)],
      );
    }
  }

  /** Answers a conversation in the inbox. */
  async function answerElsewhere(id: string): Promise<void> {
    await pool.query('DELETE FROM review_queue WHERE conversation_id = $1', [id]);
    await pool.query(
      "UPDATE conversation_logs SET review_status = 'approved', revision = revision + 1 WHERE conversation_id = $1",
      [id],
    );
  }

  /** Erases a conversation. */
  async function eraseElsewhere(id: string): Promise<void> {
    for (const table of ['review_queue', 'conversation_logs'])
      await pool.query(`DELETE FROM ${table} WHERE conversation_id = $1`, [id]);
    await pool.query("INSERT INTO erasures VALUES ($1, 'meera', 'case 17', now(), 0, 0)", [id]);
  }

  const sync = (full = false) => synchronise(context, { full });

  /** Synchronises until it succeeds. */
  async function syncUntilWell(): Promise<SyncReport> {
    for (let attempt = 0; attempt < 50; attempt++) {
      try {
        return await sync();
      } catch (error) {
        if (!(error instanceof LabelStudioError)) throw error;
      }
    }
    return assert.fail('It has not succeeded in 50 attempts.');
  }

  const conversationsThere = () => [...stub.tasks.values()].map(({ data }) => data['conversation_id']);
  const taskOf = (id: string) => {
    const task = [...stub.tasks.values()].find(({ data }) => data['conversation_id'] === id);
    assert.ok(task);
    return task;
  };
  /** Gives `faults` to the requests on `route`, one each, and then none. */
  const failAt = (route: RegExp, ...faults: readonly Fault[]) => {
    const left = [...faults];
    stub.fault = (method, url) => (route.test(`${method} ${url}`) ? left.shift() : undefined);
  };

  it('pushes the most useful conversations first, as many as may be open', async () => {
    await wait('a', 'b', 'c', 'd');
    context = { ...context, config: { ...context.config, openTasks: 2 } };
    assert.deepEqual(await sync(), {
      ...{ project: 1, full: true, pushed: 2, closed: 0, annotations: 0, reviews: 0, open: 2, warnings: [] },
    });
    assert.deepEqual(conversationsThere(), ['a', 'b']);
    stub.answer(taskOf('a'), label);
    assert.equal((await sync()).pushed, 1);
    assert.deepEqual(conversationsThere(), ['a', 'b', 'c']);
    const [prediction] = taskOf('a').predictions as [{ score: number; model_version: string }];
    assert.deepEqual([prediction.score, prediction.model_version], [0.5, PREDICTED_BY]);
    assert.equal(taskOf('a').data['model_version'], 'router-v1.0.0');
  });

  it('hides confidence and model of conversations drawn by chance', async () => {
    await wait('a', 'b');
    await pool.query("UPDATE review_queue SET drawn = true WHERE conversation_id = 'a'");
    await sync();
    for (const [id, confidence, version] of [
      ['a', null, null],
      ['b', 0.5, 'router-v1.0.0'],
    ] as const) {
      const [prediction] = taskOf(id).predictions as [{ score: unknown }];
      assert.deepEqual([prediction.score, taskOf(id).data['model_version']], [confidence, version ?? '']);
      stub.answer(taskOf(id), label);
      await pool.query('DELETE FROM review_queue WHERE conversation_id = $1', [id]);
    }
    await sync();
    const seen = sent.map(({ conversation_id, shown }) => [conversation_id, shown?.confidence, shown?.model_version]);
    assert.deepEqual(seen.sort(), [
      ['a', null, null],
      ['b', 0.5, 'router-v1.0.0'],
    ]);
  });

  it('does not push a conversation that a reviewer has leased in the inbox', async () => {
    await wait('a', 'b');
    await pool.query(`INSERT INTO review_leases (conversation_id, reviewer, session, led_by, leased_at, expires_at)
      VALUES ('a', 'asha', 's', 'a', now(), now() + interval '1 hour')`);
    await sync();
    assert.deepEqual(conversationsThere(), ['b']);
  });

  for (const fault of ['lose-request', 'lose-answer', 'do-later', 'repeat', 'unavailable'] as const) {
    it(`has one task per conversation when an import meets ${fault}`, async () => {
      await wait('a', 'b', 'c');
      failAt(/import$/, fault, fault);
      await syncUntilWell();
      await stub.settled();
      await sync(true);
      await sync(true);
      assert.deepEqual(conversationsThere().sort(), ['a', 'b', 'c']);
      const { rows } = await pool.query<{ id: number; status: string }>(
        'SELECT label_studio_task_id AS id, status FROM labelstudio_tasks ORDER BY 1',
      );
      assert.deepEqual(
        rows,
        [...stub.tasks.keys()].map((id) => ({ id, status: 'open' })),
      );
    });
  }

  it('creates one project, also when the answer gets lost', async () => {
    failAt(/POST \/api\/projects\/$/, 'lose-answer');
    await assert.rejects(sync(), /does not answer/);
    await sync();
    assert.equal(stub.projects.length, 1);
  });

  it('refuses the project of another installation, by title and by number, until it takes it over', async () => {
    await wait('a');
    await sync();
    assert.match(stub.projects[0]?.description ?? '', /Samvad installation: [0-9a-f-]{36}$/);
    const another = async () =>
      pool.query(`TRUNCATE labelstudio_tasks, labelstudio_annotations; DELETE FROM labelstudio_projects WHERE id > 1;
        UPDATE labelstudio_projects SET url = NULL, label_studio_project_id = NULL, scanned_to = NULL, full_scan_at = NULL;
        UPDATE labelstudio_installation SET id = gen_random_uuid()`);
    await another();
    await wait('b');
    const refusal = /project 1 .* belongs to another installation of Samvad, .*LABEL_STUDIO_PROJECT_ID.*--take-over/;
    await assert.rejects(sync(), refusal);
    context = { ...context, config: { ...context.config, projectId: 1 } };
    await assert.rejects(sync(), refusal);
    assert.deepEqual(conversationsThere(), ['a']);
    assert.equal(stub.projects.length, 1);
    const { rows } = await pool.query<{ last_error: string }>('SELECT last_error FROM labelstudio_projects');
    assert.match(rows[0]?.last_error ?? '', refusal);

    await synchronise(context, { full: true, takeOver: true });
    assert.deepEqual(conversationsThere(), ['a', 'b']);
    assert.equal((await sync()).project, 1);
    await another(); // the first one, which still runs
    await assert.rejects(sync(), refusal);
  });

  it('takes a project without an owner, and keeps its description', async () => {
    stub.projects.push({ id: 77, title: 'mine', description: 'For the team.', label_config: '', model_version: '' });
    context = { ...context, config: { ...context.config, projectId: 77 } };
    await sync();
    assert.match(stub.projects[0]?.description ?? '', /^For the team\.\n\nSamvad installation: \S+$/);
    await pool.query('UPDATE labelstudio_installation SET id = gen_random_uuid()');
    await assert.rejects(sync(), /belongs to another/);
  });

  it('recognises its project under another spelling of the address, but not the same number on another server', async (t) => {
    await wait('a', 'b');
    await sync();
    stub.answer(taskOf('a'), label);
    await sync();
    const at = (url: string) => {
      const config = { ...context.config, url };
      context = { ...context, config, api: labelStudioApi(connectHttp(config, 2000)) };
    };
    at(stub.url.replace('127.0.0.1', 'localhost'));
    await sync();
    assert.equal(sent.length, 1, 'its annotation was counted before');
    const other = await startStub();
    t.after(() => other.close());
    at(other.url);
    let lost = false;
    other.fault = (method, url) => {
      if (lost || `${method} ${url}` !== 'POST /api/projects/') return undefined;
      lost = true;
      return 'lose-answer';
    };
    await assert.rejects(sync());
    await sync();
    assert.deepEqual(
      [...other.tasks.values()].map(({ data }) => data['conversation_id']),
      ['a', 'b'],
    );
    const { rows } = await pool.query(
      'SELECT url FROM labelstudio_projects WHERE label_studio_project_id = 1 ORDER BY id',
    );
    assert.deepEqual(rows, [{ url: stub.url.replace('127.0.0.1', 'localhost') }, { url: other.url }]);
  });

  it('adds the labels of traffic to the project', async () => {
    await wait('a');
    await pool.query("UPDATE conversation_logs SET nlu_intent = 'never_seen'");
    await sync();
    assert.match(stub.projects[0]?.label_config ?? '', /<Choice value="never_seen" \/>/);
  });

  it("says in words why a project can't be used", async () => {
    stub.projects.push({
      id: 77,
      title: 'mine',
      label_config: '<View><Text name="t" value="$t"/></View>',
      model_version: '',
    });
    context = { ...context, config: { ...context.config, projectId: 77 } };
    await assert.rejects(sync(), /project 77 \(mine\) can't be used: it has no <Taxonomy name="label">/);
    context = { ...context, config: { ...context.config, projectId: 78 } };
    await assert.rejects(sync(), /no project 78/);
  });

  it('counts each version of an answer once, whatever fails', async () => {
    await wait('a', 'b', 'c', 'd');
    await sync();
    stub.answer(taskOf('a'), label);
    stub.answer(taskOf('b'), ['shop', 'refund_status']);
    stub.answer(taskOf('c'), undefined);
    failAt(/GET \/api\/(tasks|users|projects)/, 'lose-answer', 'unavailable', 'lose-request', 'repeat');
    kafkaFails = true;
    await assert.rejects(syncUntilWell(), /not known/);
    kafkaFails = false;
    stub.answer(taskOf('a'), ['shop', 'track_order']);
    await syncUntilWell();
    await sync(true);
    const once = new Map(sent.map((review) => [review.review_id, review]));
    for (const review of sent) assert.deepEqual(review, once.get(review.review_id)); // sent again: with the same content
    assert.deepEqual(
      [...once.values()].map((review) => [review.conversation_id, review.verdict, review.corrected_intent]),
      [
        ['a', 'approve', null],
        ['b', 'correct', 'refund_status'],
        ['c', 'skip', null],
        ['a', 'correct', 'track_order'],
      ],
    );
    assert.equal(once.size, 4);
    assert.deepEqual(new Set(sent.map(({ reviewer }) => reviewer)), new Set(['ravi@example.test']));
  });

  it('sends no review that intake would refuse, warns, and checks it again later', async () => {
    await wait('a', 'b');
    await sync();
    stub.answer(taskOf('a'), label);
    stub.answer(taskOf('b'), label);
    const [annotation] = taskOf('a').annotations;
    assert.ok(annotation);
    annotation.updated_at = '1999-12-31T23:59:59.000000Z'; // from a clock that was reset
    const { warnings } = await sync(true);
    assert.match(
      warnings[0] ?? '',
      /^Review label-studio\/\d+\/1999\S* is not sent: reviewed_at: .*before the year 2000/,
    );
    assert.deepEqual(
      sent.map(({ conversation_id }) => conversation_id),
      ['b'],
    );
    annotation.updated_at = '2026-11-26T00:00:00.000000Z';
    await sync(true);
    assert.deepEqual(
      sent.map(({ conversation_id }) => conversation_id),
      ['b', 'a'],
    );
  });

  it('withdraws a deleted annotation, but nothing when the whole task was deleted', async () => {
    await wait('a', 'b');
    await sync();
    for (const id of ['a', 'b']) stub.answer(taskOf(id), label);
    await sync();
    Object.assign(taskOf('a'), { annotations: [], updated_at: '2026-11-25T23:00:00.000000Z' });
    stub.tasks.delete(taskOf('b').id);
    await answerElsewhere('b'); // its label counts
    sent = [];
    await sync(true);
    assert.deepEqual(
      sent.map(({ conversation_id, verdict, withdraws }) => [conversation_id, verdict, withdraws !== null]),
      [['a', 'skip', true]],
    );
    await sync(true);
    assert.equal(sent.length, 1);
  });

  it('deletes tasks that were answered elsewhere, but not those that somebody has answered or begun here', async () => {
    await wait('a', 'b', 'c', 'd');
    await sync();
    for (const id of ['a', 'b', 'c']) await answerElsewhere(id);
    taskOf('b').draft_exists = true;
    const late = taskOf('c');
    // Somebody answers right before Label Studio is told to delete.
    stub.fault = (_, url) => {
      if (url === '/api/dm/actions') stub.answer(late, ['shop', 'track_order']);
      return undefined;
    };
    assert.equal((await sync()).closed, 1);
    assert.deepEqual(conversationsThere(), ['b', 'c', 'd']);
    await sync();
    assert.deepEqual(
      sent.map(({ conversation_id }) => conversation_id),
      ['c'],
    );
  });

  it('pushes nothing answered that the queue still holds, except what waits for a second person', async () => {
    await wait('a', 'b', 'audit');
    const answered = "verdict = 'approve', review_status = 'approved', revision = 1";
    await pool.query(`UPDATE conversation_logs SET ${answered} WHERE conversation_id IN ('a', 'b')`);
    await pool.query(`UPDATE review_queue SET answered_by = '["meera"]' WHERE conversation_id = 'b'`);
    await pool.query("UPDATE conversation_logs SET review_status = 'auto-approved' WHERE conversation_id = 'audit'");
    await sync();
    assert.deepEqual(conversationsThere(), ['b', 'audit']);
    await pool.query("DELETE FROM review_queue WHERE conversation_id = 'a'");
    await sync(true);
    assert.deepEqual(conversationsThere(), ['b', 'audit']);
  });

  it('deletes a task for a second person once the queue knows that this person has answered', async () => {
    await wait('a', 'b');
    await pool.query("UPDATE conversation_logs SET verdict = 'approve', review_status = 'approved', revision = 2");
    await pool.query(`UPDATE review_queue SET answered_by = '["meera"]'`);
    await sync();
    assert.equal((await sync()).closed, 0);
    assert.deepEqual(conversationsThere(), ['a', 'b']);
    await pool.query("DELETE FROM review_queue WHERE conversation_id = 'a'");
    assert.equal((await sync()).closed, 1);
    assert.deepEqual(conversationsThere(), ['b']);
  });

  it('deletes the tasks of erased conversations, also answered and begun ones, and forgets them', async () => {
    await wait('a', 'b', 'c', 'd');
    await sync();
    stub.answer(taskOf('b'), label);
    await sync();
    taskOf('c').draft_exists = true;
    for (const id of ['a', 'b', 'c']) await eraseElsewhere(id);
    assert.equal((await sync()).closed, 3);
    assert.deepEqual(conversationsThere(), ['d']);
    for (const table of ['labelstudio_tasks', 'labelstudio_annotations']) {
      const { rows } = await pool.query<{ conversation_id: string }>(`SELECT conversation_id FROM ${table}`);
      assert.deepEqual(
        rows.map(({ conversation_id }) => conversation_id).filter((id) => id !== 'd'),
        [],
      );
    }
    assert.deepEqual([(await sync(true)).closed, sent.length], [0, 1]);
  });

  it("deletes the tasks of erased conversations in earlier projects too, and says where it can't reach them", async () => {
    await wait('a', 'b', 'c');
    await sync();
    const [first] = stub.projects;
    assert.ok(first);
    stub.projects.push({ ...first, id: 77, title: 'another' });
    context = { ...context, config: { ...context.config, projectId: 77 } };
    assert.equal((await sync()).pushed, 3);
    await eraseElsewhere('a');
    const { closed, warnings } = await sync();
    assert.deepEqual([closed, warnings], [2, []]);
    assert.deepEqual(conversationsThere(), ['b', 'c', 'b', 'c']);

    await pool.query("UPDATE labelstudio_projects SET url = 'http://old.example/' WHERE label_studio_project_id = $1", [
      first.id,
    ]);
    await eraseElsewhere('b');
    const moved = await sync();
    assert.equal(moved.closed, 1);
    assert.match(
      moved.warnings.join(),
      /1 task of erased conversations is in project \d+ of http:\/\/old\.example\/.*LABEL_STUDIO_URL/,
    );

    await pool.query('UPDATE labelstudio_projects SET url = $1 WHERE label_studio_project_id = $2', [
      stub.url,
      first.id,
    ]);
    stub.projects.shift(); // this key may not see it any more, or somebody has deleted it
    const unseen = await sync();
    assert.match(
      unseen.warnings.join(),
      /1 task of erased conversations is in project \d+, which .*LABEL_STUDIO_API_KEY/,
    );
    assert.equal(unseen.closed, 0);
  });

  it('deletes the task of an erased conversation when the outcome of its import was unknown', async () => {
    await wait('a');
    failAt(/import$/, 'lose-answer');
    await assert.rejects(sync());
    await eraseElsewhere('a');
    await syncUntilWell();
    await sync(true);
    assert.deepEqual(conversationsThere(), []);
  });

  it('keeps the tasks of conversations that are unknown at the moment', async () => {
    await wait('a', 'b');
    await sync();
    stub.answer(taskOf('a'), label);
    await pool.query('TRUNCATE conversation_logs, review_queue'); // about to be filled again
    const { warnings, pushed, closed } = await sync(true);
    assert.deepEqual([pushed, closed, sent.length], [0, 0, 0]);
    assert.match(warnings[0] ?? '', /about conversation a, which is not known here/);
    await wait('a', 'b');
    assert.equal((await sync(true)).pushed, 0);
    assert.equal(sent.length, 1);
  });

  it('pushes a conversation again when its task was deleted and it still waits', async () => {
    await wait('a');
    await sync();
    stub.tasks.clear();
    await sync(true);
    assert.deepEqual(conversationsThere(), ['a']);
  });

  it('starts over when the project was deleted', async () => {
    await wait('a');
    await sync();
    stub.projects.length = 0;
    stub.tasks.clear();
    await sync();
    assert.deepEqual(conversationsThere(), ['a']);
    assert.equal(stub.projects.length, 1);
  });

  it('starts over when the server was installed again and its numbers repeat', async () => {
    await wait('a', 'b');
    await sync();
    stub.answer(taskOf('a'), label);
    await sync();
    await eraseElsewhere('b');
    stub.startOver();
    failAt(/POST \/api\/projects\/$/, 'unavailable', 'unavailable');
    for (let i = 0; i < 2; i++) await assert.rejects(sync(), LabelStudioError);
    const { project, warnings } = await sync();
    assert.deepEqual([project, warnings], [1, []]);
    assert.deepEqual(conversationsThere(), ['a']);
    stub.answer(taskOf('a'), ['shop', 'track_order']);
    await sync();
    assert.deepEqual(
      sent.map(({ verdict, withdraws }) => [verdict, withdraws]),
      [
        ['approve', null],
        ['correct', null],
      ],
    );
    const { rows } = await pool.query(
      'SELECT id, label_studio_project_id AS there FROM labelstudio_projects ORDER BY 1',
    );
    assert.deepEqual(rows, [
      { id: 1, there: null },
      { id: 2, there: 1 },
    ]);
  });

  it('does not confuse an annotation with one of another conversation that had its number', async () => {
    await wait('a', 'b');
    await sync();
    stub.answer(taskOf('a'), label);
    await sync();
    const [before] = stub.projects;
    assert.ok(before);
    stub.startOver();
    stub.projects.push(before); // somebody has created it again
    await sync(true);
    for (const id of ['a', 'b']) stub.answer(taskOf(id), label);
    await sync();
    stub.answer(taskOf('b'), ['shop', 'track_order']);
    await sync();
    const [first, , ofB, later] = sent;
    assert.equal(ofB?.review_id?.split('/')[1], first?.review_id?.split('/')[1]);
    assert.deepEqual([ofB?.conversation_id, ofB?.withdraws], ['b', null]);
    assert.deepEqual([later?.conversation_id, later?.withdraws], ['b', ofB?.review_id]);
    assert.equal(sent.length, 4);
  });

  it('continues without a webhook where Label Studio refuses it, and says so', async () => {
    await wait('a');
    context = { ...context, config: { ...context.config, webhookUrl: 'http://10.0.0.1/v1/label-studio/webhook' } };
    failAt(/POST \/api\/webhooks\/$/, 'refuse');
    const { pushed, warnings } = await sync();
    assert.equal(pushed, 1);
    assert.match(warnings.join(), /^In project 1, there is no webhook, so answers come .*Enter a valid URL.*webhooks/);
    assert.deepEqual((await sync()).warnings, []);
  });

  it('skips a conversation that Label Studio refuses', async () => {
    await wait('a', 'b', 'c');
    const whole = context.api;
    const api = {
      ...whole,
      importTasks: (project: number, tasks: Parameters<typeof whole.importTasks>[1]) =>
        tasks.some(({ data }) => 'text' in data && data.text === 'b')
          ? Promise.reject(new LabelStudioRefused('It says: no.', 400))
          : whole.importTasks(project, tasks),
    };
    context = { ...context, api };
    const { pushed, warnings } = await sync();
    assert.equal(pushed, 2);
    assert.deepEqual(warnings, ['Label Studio does not take conversation b. It says: no.']);
    assert.deepEqual((await sync(true)).warnings, []);
  });

  it('runs one at a time', async () => {
    await wait('a', 'b', 'c');
    const calls: number[] = [];
    /** A context whose calls to Label Studio are noted under a number. */
    const noted = (n: number): SyncContext => ({
      ...context,
      api: new Proxy(context.api, {
        get(api, name) {
          calls.push(n);
          return Reflect.get(api, name) as unknown;
        },
      }),
    });
    await Promise.all([1, 2, 3].map((n) => synchronise(noted(n), { full: n === 3 })));
    const turns = calls.filter((n, i) => n !== calls[i - 1]);
    assert.deepEqual(turns.sort(), [1, 2, 3]);
    assert.deepEqual(conversationsThere(), ['a', 'b', 'c']);
  });

  /** Starts a sync that pauses when it first reads the tasks. */
  async function pause(silent: number) {
    const { api } = context;
    const course = new EventEmitter();
    const tasks: typeof api.tasks = async (...values) => {
      const found = await api.tasks(...values);
      course.emit('pause');
      await once(course, 'go on');
      return found;
    };
    const reached = once(course, 'pause');
    const limits = { silent, wait: 60_000 };
    const ended = synchronise({ ...context, api: { ...api, tasks } }, { full: true, limits });
    await reached;
    return { goOn: () => course.emit('go on'), ended };
  }

  it('replaces a paused one, which does nothing more when it continues', async () => {
    await wait('a', 'b');
    await sync();
    await wait('c');
    const { goOn, ended } = await pause(500);
    assert.equal((await sync()).pushed, 1);
    goOn();
    await assert.rejects(ended, /connection|idle/);
    assert.deepEqual(conversationsThere(), ['a', 'b', 'c']);
    const { rows } = await pool.query(
      'SELECT conversation_id, label_studio_task_id AS id, status FROM labelstudio_tasks ORDER BY 1',
    );
    const open = ['a', 'b', 'c'].map((id) => ({ conversation_id: id, id: taskOf(id).id, status: 'open' }));
    assert.deepEqual(rows, open, 'what the other one has noted stays');
  });

  it('waits for its turn up to a limit, and notes that it had none', async () => {
    const { goOn, ended } = await pause(60_000);
    const waited = synchronise(context, { full: false, limits: { silent: 60_000, wait: 300 } });
    await assert.rejects(waited, LabelStudioError);
    const { rows } = await pool.query('SELECT last_error FROM labelstudio_projects');
    assert.match(JSON.stringify(rows), /Another synchronisation was still running/);
    goOn();
    await ended;
  });
});
