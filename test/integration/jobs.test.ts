import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { startComponents } from '../../cli/components.ts';
import type { RunningComponents } from '../../cli/components.ts';
import { producerOptions } from '../../cli/environment.ts';
import { startHttp } from '../../cli/http.ts';
import { untilCaughtUp } from '../../cli/lag.ts';
import { readKpis } from '../../kpi/read-kpis.ts';
import type { KpiList } from '../../kpi/read-kpis.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { ingestJsonl } from '../../producers/jsonl.ts';
import { startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const root = path.join(import.meta.dirname, '..', '..');
const run = promisify(execFile);

describe('the jobs on real servers', () => {
  let stack: Stack;
  let components: RunningComponents;
  /** The last day of the example traffic. */
  let day: string;

  async function row<R extends object>(sql: string, values: unknown[] = []): Promise<R> {
    const { rows } = await stack.prepared.pool.query<R>(sql, values);
    assert.ok(rows[0]);
    return rows[0];
  }

  before(async () => {
    stack = await startStack();
    const { prepared } = stack;
    components = await startComponents(['pipeline'], prepared);
    const producer = await createConversationProducer(producerOptions(prepared));
    const examples = path.join(root, 'examples');
    await ingestJsonl({ file: path.join(examples, 'conversations.jsonl'), kind: 'conversation', producer });
    await ingestJsonl({ file: path.join(examples, 'reviews.jsonl'), kind: 'review', producer });
    await producer.close();
    await untilCaughtUp(prepared.servers, prepared.pool);
    ({ day } = await row<{ day: string }>('SELECT max(date)::text AS day FROM daily_training_stats'));
  });
  after(async () => {
    await components.stop();
    await stack.stop();
  });

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
    assert.equal(of('queue'), (await row<{ n: number }>('SELECT count(*)::int AS n FROM training_queue')).n);
    const model = await row<{ accuracy: number }>(
      "SELECT test_accuracy AS accuracy FROM model_versions WHERE status = 'production'",
    );
    assert.equal(of('test-accuracy'), model.accuracy);
  });

  it('shows the same key figures over HTTP and on the command line', async () => {
    const { prepared } = stack;
    const http = { host: '127.0.0.1', port: 0 };
    const server = await startHttp({ ...prepared, config: { ...prepared.config, http } }, components);
    const response = await fetch(`${server.url}/v1/kpis?date=${day}`);
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), JSON.parse(JSON.stringify(await readKpis(stack.prepared.pool, day))));
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
});
