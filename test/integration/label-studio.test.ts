import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { startComponents } from '../../app/components.ts';
import type { RunningComponents } from '../../app/components.ts';
import { producerOptions } from '../../app/environment.ts';
import { startHttp } from '../../app/http.ts';
import type { RunningHttp } from '../../app/http.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import type { LabelStudioConfig } from '../../config.ts';
import { labelStudioApi } from '../../label-studio/api.ts';
import type { LabelStudioApi, Task } from '../../label-studio/api.ts';
import { LabelStudioRefused, LabelStudioUnavailable } from '../../label-studio/http.ts';
import type { SyncReport } from '../../label-studio/sync.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import type { ConversationProducer } from '../../producers/conversation-producer.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { rebuildProjection } from '../../runtime/rebuild.ts';
import type { ReviewSubmitted } from '../../schemas/types.ts';
import { conversationLogs } from '../../sinks/conversation-logs.ts';
import { reviewQueue } from '../../sinks/review-queue.ts';
import { topics } from '../../topology.ts';
import { startLabelStudio } from './label-studio-server.ts';
import type { LabelStudioServer } from './label-studio-server.ts';
import { startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const ITEMS = 200;
const ANNOTATED = 120;
/** Generous limits: on an idle machine everything takes less than a tenth of them. */
const WAIT_MS = 120_000;
const START_MS = 600_000;
/** The first run installs Label Studio. */
const INSTALL_MS = 20 * 60_000;
const TEST_MS = 300_000;
const SECRET = 'a-secret-of-this-test';
const SEVERAL = ['food/track_order', 'shop/track_order', 'ride/cancel_ride', 'general/complaint'];

/** The `result` of an annotation with this label. */
function resultOf(label: string): readonly object[] {
  const value = { taxonomy: [label.split('/')] };
  return [{ from_name: 'label', to_name: 'message', type: 'taxonomy', value }];
}

type Outcome = { readonly kind: 'label'; readonly label: string } | { readonly kind: 'skipped' | 'deleted' };

describe('a real Label Studio', () => {
  let stack: Stack;
  let server: LabelStudioServer;
  let api: LabelStudioApi;
  let producer: ConversationProducer;
  let pipeline: RunningComponents;
  let http: RunningHttp;
  /** What was started, newest first, to be stopped even when a later start fails. */
  const running: { stop(): Promise<void> }[] = [];
  const ended = new AbortController();
  let sync: RunningComponents | undefined;
  let project = 0;
  /** Conversation id → the last answer of the reviewer. */
  const outcomes = new Map<string, Outcome>();

  /** Starts the component, after it has stopped the previous one. */
  async function startSync(changes: Partial<LabelStudioConfig> = {}): Promise<void> {
    await sync?.stop();
    const labelStudio = {
      ...{ url: server.url, apiKey: server.personalAccessToken, openTasks: ITEMS, syncSeconds: 2 },
      ...changes,
    };
    const { prepared } = stack;
    sync = await startComponents(['label-studio'], { ...prepared, config: { ...prepared.config, labelStudio } });
  }

  async function query<R extends object>(sql: string, values: readonly unknown[] = []): Promise<R[]> {
    return (await stack.prepared.pool.query<R>(sql, [...values])).rows;
  }

  async function until(what: string, holds: () => Promise<boolean>, waitMs = WAIT_MS): Promise<void> {
    for (const deadline = Date.now() + waitMs; Date.now() < deadline; await sleep(300)) {
      ended.signal.throwIfAborted(); // otherwise a test that ran out of time continues in the background
      if (await holds()) return;
    }
    const rows = await query('SELECT * FROM labelstudio_projects');
    assert.fail(`This has not happened in time: ${what}. ${JSON.stringify(rows)} ${JSON.stringify(sync?.stats())}`);
  }

  async function allTasks(): Promise<readonly Task[]> {
    const all: Task[] = [];
    for (;;) {
      const page = await api.tasks(project, { after: all.at(-1)?.id ?? 0 });
      if (page.length === 0) return all;
      all.push(...page);
    }
  }

  /** The labels that this reviewer's answers have in the table, by conversation. */
  async function answers(): Promise<Map<string, string>> {
    const rows = await query<{ id: string; label: string }>(
      `SELECT conversation_id AS id, coalesce(corrected_module, nlu_module) || '/' || coalesce(corrected_intent, nlu_intent) AS label
         FROM conversation_logs WHERE verdict IN ('approve', 'correct') AND reviewer = $1`,
      [server.email],
    );
    return new Map(rows.map(({ id, label }) => [id, label]));
  }

  function labelled(): Map<string, string> {
    return new Map([...outcomes].flatMap(([id, outcome]) => (outcome.kind === 'label' ? [[id, outcome.label]] : [])));
  }

  const syncs = () => sync?.stats()['label-studio']?.['syncs'] ?? 0;

  /** Remembers what was started, to stop it at the end. */
  async function keep<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
    const started = await starting;
    running.unshift(started);
    return started;
  }

  async function start(): Promise<void> {
    const starting = [keep(startStack()), keep(startLabelStudio())] as const;
    await Promise.allSettled(starting);
    [stack, server] = await Promise.all(starting);
    api = labelStudioApi(server.send);
    const { prepared } = stack;
    pipeline = await keep(startComponents(['pipeline'], prepared));
    const labelStudio = { url: '', apiKey: '', openTasks: 1, syncSeconds: 1, webhookSecret: SECRET };
    const config = { ...prepared.config, labelStudio, http: { host: '127.0.0.1', port: 0 } };
    http = await keep(startHttp({ ...prepared, config }, pipeline));
    producer = await createConversationProducer(producerOptions(prepared));
    running.unshift({ stop: () => producer.close() });
    for (let i = 0; i < ITEMS; i++) {
      const [module = '', intent = ''] = (SEVERAL[i % SEVERAL.length] ?? '').split('/');
      await producer.captureConversation({
        conversation_id: `ls-${i}`,
        user_message:
          i === 7 ? '<b onclick="alert(1)">मेरा ऑर्डर</b> & कहाँ है?' : `message ${'abcdefghij'[i % 10] ?? ''} number ${i}`,
        language: i % 2 === 0 ? 'hi' : 'en',
        nlu_module: module,
        nlu_intent: intent,
        nlu_confidence: i % 9 === 0 ? null : 0.2 + (i % 60) / 100,
        nlu_provider: 'indicbert',
        model_version: `router-v1.${i % 2}.0`,
        created_at: new Date(Date.UTC(2026, 9, 1) + i * 1000),
      });
    }
    await untilCaughtUp(prepared.servers, prepared.pool);
  }

  before(start, { timeout: INSTALL_MS });
  after(async () => {
    // Nothing may be left running, even after a failed test.
    ended.abort(new Error('The test is over.'));
    for (const one of [...(sync ? [sync] : []), ...running])
      await one.stop().catch((error: unknown) => console.error(error));
  });

  /** Tries again while Label Studio is away. */
  async function persist<T>(what: string, ask: () => Promise<T>): Promise<T> {
    let result: { readonly value: T } | undefined;
    await until(
      what,
      async () => {
        try {
          result = { value: await ask() };
        } catch (error) {
          if (!(error instanceof LabelStudioUnavailable)) throw error;
        }
        return result !== undefined;
      },
      START_MS,
    );
    assert.ok(result);
    return result.value;
  }

  /** Answers a task once, like a person: after a broken connection only when the answer is missing. */
  async function annotate(task: Task, label: string | undefined): Promise<number> {
    return persist(`task ${task.id} is answered`, async () => {
      const [now] = await api.tasks(project, { after: 0, ids: [task.id] });
      const there = now?.annotations[0]?.id;
      if (there !== undefined) return there;
      const result = label === undefined ? [] : resultOf(label);
      const body = { result, was_cancelled: label === undefined, lead_time: 2.5 };
      return ((await server.send('POST', `api/tasks/${task.id}/annotations/`, body)) as { id: number }).id;
    });
  }

  async function change(annotation: number, label: string): Promise<void> {
    await persist(`annotation ${annotation} is changed`, () =>
      server.send('PATCH', `api/annotations/${annotation}/`, { result: resultOf(label) }),
    );
  }

  async function remove(annotation: number): Promise<void> {
    await persist(`annotation ${annotation} is deleted`, () =>
      server.send('DELETE', `api/annotations/${annotation}/`).catch((error: unknown) => {
        if (!(error instanceof LabelStudioRefused && error.status === 404)) throw error; // the answer to the first request got lost
      }),
    );
  }

  /** Answers tasks: most are approved or corrected, some skipped, and some answers are changed or deleted later. */
  async function answer(tasks: readonly Task[], from: number, to: number): Promise<void> {
    for (let i = from; i < to; i++) {
      const task = tasks[i];
      assert.ok(task);
      const id = String(task.data['conversation_id']);
      const predicted = `${String(task.data['predicted_module'])}/${String(task.data['predicted_intent'])}`;
      const other = SEVERAL.find((label) => label !== predicted) ?? '';
      if (i % 10 === 3) {
        await annotate(task, undefined);
        outcomes.set(id, { kind: 'skipped' });
        continue;
      }
      const annotation = await annotate(task, i % 3 === 0 ? other : predicted);
      outcomes.set(id, { kind: 'label', label: i % 3 === 0 ? other : predicted });
      if (i % 10 === 5) {
        await change(annotation, other);
        outcomes.set(id, { kind: 'label', label: other });
      }
      if (i % 10 === 7) {
        await until(`the answer to ${id} is counted`, async () => (await answers()).has(id), START_MS);
        await remove(annotation);
        outcomes.set(id, { kind: 'deleted' });
      }
    }
  }

  it(
    'gets the project and 200 items, the most useful first, with the prediction filled in',
    { timeout: TEST_MS },
    async () => {
      await startSync();
      await until('all are pushed', async () => {
        const [row] = await query<{ id: number | null; tasks_pushed: number }>(
          'SELECT label_studio_project_id AS id, tasks_pushed FROM labelstudio_projects',
        );
        project = row?.id ?? 0;
        return row?.tasks_pushed === ITEMS;
      });
      const tasks = await allTasks();
      const queue = await query<{ id: string }>(
        'SELECT conversation_id AS id FROM training_queue ORDER BY review_priority',
      );
      assert.deepEqual(
        tasks.map(({ data }) => data['conversation_id']),
        queue.map(({ id }) => id),
      );
      const next = (await server.send('GET', `api/projects/${project}/next`)) as {
        data: Record<string, unknown>;
        predictions: { score: number | null; result: { value: unknown }[] }[];
      };
      const [logged] = await query<{ confidence: number | null; version: string; label: string[] }>(
        `SELECT nlu_confidence AS confidence, coalesce(model_version, '') AS version, ARRAY[nlu_module, nlu_intent] AS label
         FROM training_queue WHERE conversation_id = $1`,
        [next.data['conversation_id']],
      );
      assert.equal(next.predictions[0]?.score, logged?.confidence);
      assert.equal(next.data['model_version'], logged?.version);
      assert.deepEqual(next.predictions[0]?.result[0]?.value, { taxonomy: [logged?.label] });
    },
  );

  it('has its answers counted without webhooks', { timeout: TEST_MS }, async () => {
    await answer(await allTasks(), 0, 40);
    await until('they are counted', async () => isDeepStrictEqual(await answers(), labelled()));
  });

  it('has its answers counted with webhooks that are repeated and out of order', { timeout: TEST_MS }, async () => {
    const webhookUrl = `${http.url}/v1/label-studio/webhook`;
    await startSync({ webhookUrl, webhookSecret: SECRET, syncSeconds: 600 }); // only webhooks wake it
    await until('the webhook is registered', async () =>
      (await api.webhooks(project)).some(({ url }) => url === webhookUrl),
    );
    await until('the first scan is over', () => Promise.resolve(syncs() > 0));
    const tasks = await allTasks();

    // Webhooks of Label Studio itself: each is sent once, so the answer is changed until one arrives.
    const [first] = tasks.slice(40);
    assert.ok(first);
    const annotation = await annotate(first, SEVERAL[0]);
    const before = syncs();
    await until('a webhook of Label Studio wakes the sync', async () => {
      await change(annotation, SEVERAL[1] ?? '');
      await sleep(1000);
      return syncs() > before;
    });
    await remove(annotation);

    // Any number of webhooks, in any order, with any content.
    const bulk = tasks.slice(40, 80).map(({ id }) => ({ id, result: [] }));
    const hints = [
      { action: 'ANNOTATIONS_CREATED', annotation: bulk.toReversed() },
      { action: 'ANNOTATION_CREATED', annotation: bulk[1] },
      { action: 'ANNOTATION_CREATED', annotation: bulk[0] },
    ];
    const hint = (body: unknown) =>
      fetch(webhookUrl, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-samvad-secret': SECRET },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(WAIT_MS),
      }).then(({ status }) => status);
    let answered = false;
    const answering = answer(tasks, 40, 80).finally(() => (answered = true));
    answering.catch(() => undefined); // awaited below
    await until('all are answered', async () => {
      const statuses = await Promise.all([...hints, ...hints.toReversed()].map(hint));
      assert.deepEqual(new Set(statuses), new Set([202]));
      await sleep(1000);
      return answered;
    });
    await answering;
    await hint(hints[0]);
    await until('they are counted', async () => isDeepStrictEqual(await answers(), labelled()));
  });

  it('has each answer counted once when it is killed half-way', { timeout: TEST_MS }, async () => {
    await startSync();
    const tasks = await allTasks();
    const answering = answer(tasks, 80, ANNOTATED);
    answering.catch(() => undefined); // awaited below
    await until('half are answered', () => Promise.resolve(outcomes.size >= 100));
    await server.kill();
    await until('the sync says so', async () => {
      const [row] = await query<{ last_error: string | null }>('SELECT last_error FROM labelstudio_projects');
      return row?.last_error?.includes('does not answer') === true;
    });
    await server.restart();
    await answering;
    const skipped = [...outcomes.values()].filter(({ kind }) => kind === 'skipped').length;
    const deleted = [...outcomes.values()].filter(({ kind }) => kind === 'deleted').length;
    assert.deepEqual([outcomes.size, skipped, deleted], [ANNOTATED, 12, 12]);
    await until('every answer is counted', async () => {
      const rows = await query('SELECT 1 FROM labelstudio_annotations WHERE NOT withdrawn');
      return rows.length === ANNOTATED - deleted && (await query('SELECT 1 FROM labelstudio_outbox')).length === 0;
    });
    await untilCaughtUp(stack.prepared.servers, stack.prepared.pool);
    assert.deepEqual(await answers(), labelled());
    assert.equal((await answers()).size, ANNOTATED - skipped - deleted);
    const status = await query<{ s: string; n: string }>(
      'SELECT review_status AS s, count(*) AS n FROM conversation_logs GROUP BY 1 ORDER BY 1',
    );
    // A conversation whose answer was deleted waits again.
    assert.deepEqual(
      status.map(({ s, n }) => [s, Number(n)]),
      [
        ['approved', ANNOTATED - skipped - deleted],
        ['needs-review', ITEMS - ANNOTATED + deleted],
        ['skipped', skipped],
      ],
    );
  });

  it('has each of its reviews once in the log, with what the reviewer saw', { timeout: TEST_MS }, async () => {
    const codec = stack.prepared.codecs.of(topics.conversationEvents);
    const reviews: ReviewSubmitted[] = [];
    for await (const { value } of readTopic(stack.prepared.servers.kafka, topics.conversationEvents.name)) {
      const event = value === null ? undefined : codec.decode(value);
      if (event?.reviewed) reviews.push(event.reviewed);
    }
    const ids = reviews.map(({ review_id }) => review_id);
    assert.equal(new Set(ids).size, ids.length);
    const withdrawn = new Set(reviews.map(({ withdraws }) => withdraws));
    const standing = reviews.filter(({ review_id, withdraws, verdict }) => {
      const undo = withdraws !== null && verdict === 'skip';
      return !undo && !withdrawn.has(review_id);
    });
    assert.equal(standing.length, ANNOTATED - 12);
    assert.equal(standing.filter(({ verdict }) => verdict === 'skip').length, 12);
    assert.ok(standing.some(({ shown }) => shown?.model_version != null));
    for (const { review_id, reviewer, source, shown } of standing) {
      assert.deepEqual([reviewer, source], [server.email, 'label_studio']);
      // When an annotation was counted before an edit, its first version has the time.
      const annotation = review_id?.split('/').slice(0, 2).join('/') ?? '';
      const versions = reviews.filter((one) => one.review_id?.startsWith(`${annotation}/`));
      assert.equal(
        versions.reduce((sum, { time_taken_ms }) => sum + (time_taken_ms ?? 0), 0),
        2500,
      );
      // Items drawn by chance are shown without their model, so that an audit looks like the others.
      assert.match(shown?.model_version ?? 'drawn', /^(router-v1\.|drawn)/);
      assert.ok(SEVERAL.includes(`${shown?.module ?? ''}/${shown?.intent ?? ''}`));
    }
    const letters = readTopic(stack.prepared.servers.kafka, topics.deadLetters.name);
    for await (const { value } of letters) assert.fail(`There is a dead letter: ${String(value)}`);
  });

  it('loses tasks answered elsewhere, and keeps those that somebody has begun', { timeout: TEST_MS }, async () => {
    // Except conversations that wait for a second person after the first answer.
    const twice = await query<{ id: string }>('SELECT conversation_id AS id FROM conversation_logs WHERE overlap');
    const asked = new Set(twice.map(({ id }) => id));
    const open = (await allTasks()).filter(
      ({ annotations, data }) => annotations.length === 0 && !asked.has(String(data['conversation_id'])),
    );
    const [begun, begunByMeera, ...others] = open.slice(0, 7);
    assert.ok(begun && begunByMeera);
    await server.send('POST', `api/tasks/${begun.id}/drafts`, { result: [] });
    const meera = await server.addUser('meera@example.test');
    await meera('POST', `api/tasks/${begunByMeera.id}/drafts`, { result: [] });
    for (const { data } of [begun, begunByMeera, ...others])
      await producer.submitReview({
        conversation_id: String(data['conversation_id']),
        verdict: 'approve',
        reviewer: 'asha',
        source: 'inbox',
      });
    const gone = new Set(others.map(({ id }) => id));
    await until('they are gone', async () => (await allTasks()).every(({ id }) => !gone.has(id)));
    const there = new Set((await allTasks()).map(({ id }) => id));
    assert.deepEqual([there.has(begun.id), there.has(begunByMeera.id)], [true, true]);
    const closed = await query("SELECT 1 FROM labelstudio_tasks WHERE status = 'closed'");
    assert.equal(closed.length, others.length);
  });

  it('has the answer of the person who corrected an annotation last', { timeout: TEST_MS }, async () => {
    const task = (await allTasks()).findLast(
      ({ annotations, draft_exists }) => annotations.length === 0 && !draft_exists,
    );
    assert.ok(task);
    const id = String(task.data['conversation_id']);
    const annotation = await annotate(
      task,
      `${String(task.data['predicted_module'])}/${String(task.data['predicted_intent'])}`,
    );
    const counts = (reviewer: string, verdict: string) =>
      until(`${verdict} of ${reviewer} counts`, async () => {
        const rows = await query('SELECT reviewer, verdict FROM conversation_logs WHERE conversation_id = $1', [id]);
        return isDeepStrictEqual(rows, [{ reviewer, verdict }]);
      });
    await counts(server.email, 'approve');
    const ravi = await server.addUser('ravi@example.test');
    await ravi('PATCH', `api/annotations/${annotation}/`, { result: resultOf('shop/refund_status') });
    await counts('ravi@example.test', 'correct');
  });

  it(
    'gets nothing twice after the tables were rebuilt, or the bookkeeping was lost',
    { timeout: TEST_MS },
    async () => {
      const { prepared } = stack;
      const before = (await allTasks()).map(({ id }) => id);
      for (const projection of [conversationLogs, reviewQueue])
        await rebuildProjection({
          ...{ projection, kafka: prepared.servers.kafka, pool: prepared.pool },
          codec: prepared.codecs.of<unknown>(projection.topic),
        });
      await sync?.stop();
      await query('DELETE FROM labelstudio_tasks');
      await startSync();
      await until('it has synchronised', () => Promise.resolve(syncs() > 1));
      assert.deepEqual(
        (await allTasks()).map(({ id }) => id),
        before,
      );
    },
  );

  it('can be synchronised by command, with the settings in a file', { timeout: TEST_MS }, async () => {
    await sync?.stop();
    const file = path.join(stack.home, 'label-studio.env');
    await writeFile(
      file,
      `LABEL_STUDIO_URL=${server.url}\nLABEL_STUDIO_API_KEY=${server.personalAccessToken}\nLABEL_STUDIO_OPEN_TASKS=1\n`,
    );
    const program = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
    const run = (env: Record<string, string>) =>
      new Promise<{ output: string; errors: string }>((resolve) => {
        const child = { env: { ...process.env, ...stack.env, ...env } };
        execFile(process.execPath, [program, 'label-studio', 'sync', '--json'], child, (_, output, errors) =>
          resolve({ output, errors }),
        );
      });
    const { output, errors } = await run({ LABEL_STUDIO_ENV_FILE: file });
    assert.ok(output.startsWith('{'), errors);
    const { pushed, closed, annotations, reviews, full } = JSON.parse(output) as SyncReport;
    assert.deepEqual([pushed, closed, annotations, reviews, full], [0, 0, 0, 0, true]);
    assert.match((await run({})).errors, /No Label Studio is configured\. Copy \.env\.labelstudio\.template/);
    const standing = (await (await fetch(`${http.url}/v1/label-studio`)).json()) as {
      tasks: object;
      last_error: unknown;
    };
    assert.deepEqual(Object.keys(standing.tasks).sort(), ['answered', 'open']);
    assert.equal(standing.last_error, null);
  });
});
