import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Socket } from 'node:net';
import type { Pool } from 'pg';
import { startComponents } from '../../app/components.ts';
import { startHttp } from '../../app/http.ts';
import { readPipelineFigures } from '../../app/pipeline-figures.ts';
import { openPool } from '../../runtime/postgres-pool.ts';
import { startPostgresProxy } from './postgres-proxy.ts';
import { startReviewing } from './reviewing.ts';
import type { Reviewing } from './reviewing.ts';
import { endAll } from './stack.ts';

const NUL = '\0';

describe('routes that read Postgres', { timeout: 300_000 }, () => {
  let reviewing: Reviewing;
  let app: ReturnType<Reviewing['server']>;

  before(async () => {
    reviewing = await startReviewing();
    app = reviewing.server();
  });
  after(() =>
    endAll(
      () => app.close(),
      () => reviewing.stop(),
    ),
  );

  it('return every conversation once, page after page, when many have the same time', async () => {
    const created_at = '2026-10-05T09:00:00.000Z';
    const ids = Array.from({ length: 120 }, (_, i) => `at-once-${i}`);
    await reviewing.capture([
      ...ids.map((conversation_id) => ({ conversation_id, created_at })),
      { conversation_id: 'earlier', created_at: '2026-10-05T08:59:59.999Z' },
    ]);
    const find = async (query: Record<string, string>) =>
      (await app.inject({ url: '/v1/conversations', query })).json<{ conversation_id: string; created_at: string }[]>();
    const found: string[] = [];
    for (let older: Record<string, string> = {}; ;) {
      const page = await find({ ...older, limit: '50' });
      found.push(...page.map(({ conversation_id }) => conversation_id));
      const last = page.at(-1);
      if (!last || found.length > 200) break;
      older = { before: last.created_at, before_id: last.conversation_id };
    }
    assert.equal(found.pop(), 'earlier');
    assert.deepEqual(found.toSorted(), ids.toSorted());
    const before = await find({ before: created_at });
    assert.deepEqual(
      before.map(({ conversation_id }) => conversation_id),
      ['earlier'],
    );
  });

  it('find an id by the primary key, and say in a sentence when a query takes too long', async () => {
    await reviewing.capture([
      { conversation_id: 'by-id', user_message: 'find me' },
      { conversation_id: 'of at-once-1' },
    ]);
    const asked: string[] = [];
    const scans = openPool(reviewing.stack.prepared.servers.databaseUrl, { statementTimeoutMs: 500 });
    const slow = { on: false };
    const other = reviewing.server([], {
      query: ((sql: string, values: unknown[]) => {
        asked.push(sql);
        return scans.query(slow.on ? 'SELECT pg_sleep(5)' : sql, slow.on ? [] : values);
      }) as Pool['query'],
    });
    try {
      const find = async (q: string) =>
        (await other.inject({ url: '/v1/conversations', query: { q } })).json<{ conversation_id: string }[]>();
      assert.deepEqual(
        (await find('by-id')).map(({ conversation_id }) => conversation_id),
        ['by-id'],
      );
      assert.equal(asked.length, 1);
      const { rows } = await scans.query<Record<string, string>>(
        `EXPLAIN ${asked[0]?.replace('$1', "'by-id'").replace('$2', '50') ?? ''}`,
      );
      assert.match(JSON.stringify(rows), /Index Scan using conversation_logs_pkey/);
      assert.deepEqual(
        (await find('ind M')).map(({ conversation_id }) => conversation_id),
        ['by-id'],
      );
      slow.on = true;
      for (const url of ['/v1/conversations?q=late', '/v1/accuracy', '/v1/kpis', '/v1/review-agreement']) {
        const { statusCode, headers, body } = await other.inject({ url });
        assert.equal(statusCode, 503, body);
        assert.equal(headers['retry-after'], '60');
        assert.match((JSON.parse(body) as { detail: string }).detail, /takes the database too long; ask for less/);
      }
    } finally {
      await other.close();
      await scans.end();
    }
  });

  it('say that no connection came free when they waited only for a connection', async () => {
    const scans = openPool(reviewing.stack.prepared.servers.databaseUrl, { max: 1, statementTimeoutMs: 500 });
    const other = reviewing.server([], scans);
    const busy = await scans.connect();
    try {
      const { statusCode, body } = await other.inject({ url: '/v1/kpis' });
      const { type, detail } = JSON.parse(body) as { type: string; detail: string };
      assert.deepEqual([statusCode, type], [503, 'urn:samvad:problem:too-slow']);
      assert.match(detail, /^No database connection became free/);
    } finally {
      busy.release();
      await other.close();
      await scans.end();
    }
  });

  it('answer in time when Postgres is frozen', async () => {
    const { prepared } = reviewing.stack;
    let frozen = false;
    const passing = (from: Socket, to: Socket) => from.on('data', (bytes) => frozen || to.write(bytes));
    const proxy = await startPostgresProxy(prepared.servers.databaseUrl, (client, server) => {
      passing(client, server);
      passing(server, client);
    });
    const servers = { ...prepared.servers, databaseUrl: proxy.url };
    const config = { ...prepared.config, http: { host: '127.0.0.1', port: 0 } };
    const pool = openPool(proxy.url);
    const components = await startComponents([], prepared);
    const http = await startHttp({ ...prepared, servers, config, pool }, components);
    try {
      assert.equal((await fetch(`${http.url}/v1/models`)).status, 200);
      frozen = true;
      const answer = await fetch(`${http.url}/v1/models`, { signal: AbortSignal.timeout(30_000) });
      assert.deepEqual(
        [answer.status, ((await answer.json()) as { type: string }).type],
        [503, 'urn:samvad:problem:unreachable'],
      );
    } finally {
      await proxy.stop();
      await endAll(
        () => http.stop(),
        () => components.stop(),
        () => pool.end(),
      );
    }
  });

  it('return counts and offsets of runs, versions and deployments as numbers', async () => {
    await reviewing.stack.prepared.pool.query(
      `INSERT INTO training_runs (run_id, data_set, trigger, status, attempt, approvals, reasons, epoch, epochs, requested_at, log_partition, log_offset)
       VALUES ('run-1', 'default', 'manual', 'requested', 1, 1000, '[]', 0, 0, now(), 0, 7)`,
    );
    await reviewing.stack.prepared.pool.query("UPDATE model_versions SET run_id = 'run-1', log_offset = 3");
    interface Numbers {
      readonly approvals?: unknown;
      readonly log_offset: unknown;
    }
    const ask = async <T>(url: string) => (await app.inject({ url })).json<T>();
    const [listed] = await ask<Numbers[]>('/v1/training-runs');
    const { run } = await ask<{ run: Numbers }>('/v1/models/router-v1.0.0/lineage');
    for (const one of [listed, run]) assert.deepEqual([one?.approvals, one?.log_offset], [1000, 7]);
    for (const url of ['/v1/models/router-v1.0.0', '/v1/models/production'])
      assert.equal((await ask<Numbers>(url)).log_offset, 3);
    for (const url of ['/v1/models', '/v1/deployments'])
      for (const { log_offset } of await ask<Numbers[]>(url)) assert.equal(typeof log_offset, 'number');
  });

  it('report a run as failed although an earlier attempt had reached a verdict', async () => {
    const { pool, servers } = reviewing.stack.prepared;
    await pool.query(
      "UPDATE training_runs SET status = 'failed', verdict = 'promote', finished_at = now() WHERE run_id = 'run-1'",
    );
    assert.equal((await readPipelineFigures(servers, pool)).training.last?.outcome, 'failed');
  });

  const next = (changes: object) => ['/v1/review-queue/next', { reviewer: 'asha', session: 's', ...changes }] as const;
  const refused: readonly (readonly [url: string, body?: object])[] = [
    ['/v1/review-queue?module=%00'],
    ['/v1/review-queue?offset=1e20'],
    next({ session: `s${NUL}` }),
    next({ first: NUL }),
    next({ join: { lead: 'c-1', ids: [NUL] } }),
    next({ since: '2026-10-05T23:59:60Z' }),
    ['/v1/review-queue/release', { reviewer: 'asha', session: NUL }],
    ['/v1/erasures', { user_id: NUL, reason: 'case 1', requested_by: 'asha' }],
    ['/v1/conversations?before=0000-01-01T00:00:00Z'],
    ['/v1/conversations?before=2026-10-05T09:00:00%2B20:00'],
    ['/v1/conversations?before_id=c-1'],
    ['/v1/kpis?date=0000-01-01'],
    ['/v1/kpis?date=9999-12-31'],
    ['/v1/accuracy?from=0000-01-01'],
    ['/v1/models/router-v1.0.0/lineage?after=99999999999/0'],
  ];
  for (const [url, payload] of refused) {
    it(`answer 400 with a sentence to what Postgres can't hold: ${url} ${JSON.stringify(payload ?? '')}`, async () => {
      const { statusCode, body } = await app.inject({
        method: payload ? 'POST' : 'GET',
        url,
        ...(payload && { payload }),
      });
      assert.equal(statusCode, 400, body.slice(0, 300));
      assert.match((JSON.parse(body) as { detail: string }).detail, /^\w.*\.$/);
    });
  }
});
