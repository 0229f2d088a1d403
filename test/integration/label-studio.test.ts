import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startComponents } from '../../cli/components.ts';
import type { RunningComponents } from '../../cli/components.ts';
import { producerOptions } from '../../cli/environment.ts';
import { startHttp } from '../../cli/http.ts';
import type { RunningHttp } from '../../cli/http.ts';
import { untilCaughtUp } from '../../cli/lag.ts';
import type { LabelStudioConfig } from '../../config.ts';
import { labelStudioApi } from '../../label-studio/api.ts';
import type { LabelStudioApi, Task } from '../../label-studio/api.ts';
import { LabelStudioUnavailable } from '../../label-studio/http.ts';
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
const WAIT_MS = 180_000;
const SECRET = 'a-secret-of-this-test';
const SEVERAL = ['food/track_order', 'shop/track_order', 'ride/cancel_ride', 'general/complaint'];

type Outcome = { readonly kind: 'label'; readonly label: string } | { readonly kind: 'skipped' | 'deleted' };

describe('Label Studio, the real one', () => {
  let stack: Stack;
  let server: LabelStudioServer;
  let api: LabelStudioApi;
  let producer: ConversationProducer;
  let pipeline: RunningComponents;
  let http: RunningHttp;
  let sync: RunningComponents | undefined;
  let project = 0;
  /** Conversation id → what the reviewer left. */
  const outcomes = new Map<string, Outcome>();

  /** Starts the component, after the one that ran. */
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

  async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
    for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline; await sleep(300)) if (await holds()) return;
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

  /** Answers of this source that stand in the table, by conversation. */
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

  before(async () => {
    [stack, server] = await Promise.all([startStack(), startLabelStudio()]);
    api = labelStudioApi(server.send);
    const { prepared } = stack;
    pipeline = await startComponents(['pipeline'], prepared);
    const labelStudio = { url: '', apiKey: '', openTasks: 1, syncSeconds: 1, webhookSecret: SECRET };
    const config = { ...prepared.config, labelStudio, http: { host: '127.0.0.1', port: 0 } };
    http = await startHttp({ ...prepared, config }, pipeline);
    producer = await createConversationProducer(producerOptions(prepared));
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
  });
  after(async () => {
    // Whatever a test has broken, nothing may be left running.
    for (const end of [
      () => sync?.stop(),
      () => http.stop(),
      () => pipeline.stop(),
      () => producer.close(),
      () => server.stop(),
      () => stack.stop(),
    ])
      await Promise.resolve()
        .then(end)
        .catch((error: unknown) => console.error(error));
  });

  /** Answers a task as a person does: once, and after a broken connection only when it is not there. */
  async function annotate(task: Task, label: string | undefined): Promise<number> {
    const [module, intent] = (label ?? '').split('/');
    const value = { taxonomy: [[module, intent]] };
    const result = label === undefined ? [] : [{ from_name: 'label', to_name: 'message', type: 'taxonomy', value }];
    for (;;) {
      try {
        const [now] = await api.tasks(project, { after: 0, ids: [task.id] });
        const there = now?.annotations[0]?.id;
        if (there !== undefined) return there;
        const body = { result, was_cancelled: label === undefined, lead_time: 2.5 };
        return ((await server.send('POST', `api/tasks/${task.id}/annotations/`, body)) as { id: number }).id;
      } catch (error) {
        if (!(error instanceof LabelStudioUnavailable)) throw error;
        await sleep(500);
      }
    }
  }

  /** What becomes of the i-th task that is answered: most approved or corrected, some changed later, skipped or deleted. */
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
        const [module, intent] = other.split('/');
        const value = { taxonomy: [[module, intent]] };
        await server.send('PATCH', `api/annotations/${annotation}/`, {
          result: [{ from_name: 'label', to_name: 'message', type: 'taxonomy', value }],
        });
        outcomes.set(id, { kind: 'label', label: other });
      }
      if (i % 10 === 7) {
        await until(`the answer to ${id} is counted`, async () => (await answers()).has(id));
        await server.send('DELETE', `api/annotations/${annotation}/`);
        outcomes.set(id, { kind: 'deleted' });
      }
    }
  }

  it('creates the project and pushes 200 items, the most useful first, with the prediction filled in', async () => {
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
      `SELECT nlu_confidence AS confidence, model_version AS version, ARRAY[nlu_module, nlu_intent] AS label
         FROM conversation_logs WHERE conversation_id = $1`,
      [next.data['conversation_id']],
    );
    assert.equal(next.predictions[0]?.score, logged?.confidence);
    assert.equal(next.data['model_version'], logged?.version);
    assert.deepEqual(next.predictions[0]?.result[0]?.value, { taxonomy: [logged?.label] });
  });

  it('fetches answers without webhooks', async () => {
    await answer(await allTasks(), 0, 40);
    await until('they are counted', async () => (await answers()).size === labelled().size);
    assert.deepEqual(await answers(), labelled());
  });

  it('fetches answers with webhooks that are repeated and come in another order', async () => {
    const webhookUrl = `${http.url}/v1/label-studio/webhook`;
    await startSync({ webhookUrl, webhookSecret: SECRET, syncSeconds: 600 }); // nothing but hints wakes it
    await until('the webhook is registered', async () =>
      (await api.webhooks(project)).some(({ url }) => url === webhookUrl),
    );
    await until('the first scan is over', () => Promise.resolve((sync?.stats()['label-studio']?.['syncs'] ?? 0) > 0));
    const tasks = await allTasks();
    await answer(tasks, 40, 80);
    const hint = (body: unknown) =>
      fetch(webhookUrl, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-samvad-secret': SECRET },
        body: JSON.stringify(body),
      }).then(({ status }) => status);
    const bulk = tasks.slice(40, 80).map(({ id, annotations }) => ({ id, annotations }));
    const hints = [
      { action: 'ANNOTATIONS_CREATED', annotation: bulk.toReversed() },
      { action: 'ANNOTATION_CREATED', annotation: bulk[1] },
      { action: 'ANNOTATION_CREATED', annotation: bulk[0] },
    ];
    assert.deepEqual(await Promise.all([...hints, ...hints.toReversed()].map(hint)), [202, 202, 202, 202, 202, 202]);
    await until('they are counted', async () => (await answers()).size === labelled().size);
    assert.deepEqual(await answers(), labelled());
  });

  it('counts each answer once while the server is killed half-way', async () => {
    await startSync();
    const tasks = await allTasks();
    const answering = answer(tasks, 80, ANNOTATED);
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
    // Whose answer was deleted waits again.
    assert.deepEqual(
      status.map(({ s, n }) => [s, Number(n)]),
      [
        ['approved', ANNOTATED - skipped - deleted],
        ['needs-review', ITEMS - ANNOTATED + deleted],
        ['skipped', skipped],
      ],
    );
  });

  it('has each review once in the log, with what the reviewer saw', async () => {
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
    for (const { reviewer, source, shown, time_taken_ms } of standing) {
      assert.deepEqual([reviewer, source, time_taken_ms], [server.email, 'label_studio', 2500]);
      assert.ok(shown?.model_version?.startsWith('router-v1.'));
    }
    const letters = readTopic(stack.prepared.servers.kafka, topics.deadLetters.name);
    for await (const { value } of letters) assert.fail(`There is a dead letter: ${String(value)}`);
  });

  it('takes out what was answered elsewhere, and leaves what somebody has begun', async () => {
    const [begun, ...others] = (await allTasks()).filter(({ annotations }) => annotations.length === 0).slice(0, 6);
    assert.ok(begun);
    await server.send('POST', `api/tasks/${begun.id}/drafts`, { result: [] });
    for (const { data } of [begun, ...others])
      await producer.submitReview({
        conversation_id: String(data['conversation_id']),
        verdict: 'approve',
        reviewer: 'asha',
        source: 'inbox',
      });
    const gone = new Set(others.map(({ id }) => id));
    await until('they are gone', async () => (await allTasks()).every(({ id }) => !gone.has(id)));
    assert.ok((await allTasks()).some(({ id }) => id === begun.id));
    const closed = await query("SELECT 1 FROM labelstudio_tasks WHERE status = 'closed'");
    assert.equal(closed.length, others.length);
  });

  it('pushes nothing twice after the tables were rebuilt, or its own were lost', async () => {
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
    await until('it has looked', () => Promise.resolve((sync?.stats()['label-studio']?.['syncs'] ?? 0) > 1));
    assert.deepEqual(
      (await allTasks()).map(({ id }) => id),
      before,
    );
  });
});
