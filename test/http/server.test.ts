import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { openFront } from '../../app/front.ts';
import { MAX_INGEST_BYTES } from '../../http/ingest.ts';
import { pages } from '../../http/pages.ts';
import { createServer } from '../../http/server.ts';
import type { ServerOptions } from '../../http/server.ts';
import { newToken, parseTokens } from '../../http/tokens.ts';
import type { ApiToken } from '../../http/tokens.ts';
import {
  blankStanding,
  emptyLog,
  firstModel,
  foldLog,
  judgedEvent,
  register,
  setTraffic,
} from '../../policy/model-log.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { SpoolFull, SpoolUnwritable } from '../../producers/spool.ts';
import { memoryProducer } from '../producers/memory-producer.ts';

const conversation = {
  conversation_id: 'c-1',
  user_message: 'where is my order?',
  language: 'en',
  nlu_intent: 'track_order',
  nlu_module: 'food',
  nlu_provider: 'llm',
  created_at: '2025-10-05T09:30:00Z',
};
const review = { conversation_id: 'c-1', verdict: 'approve', reviewer: 'asha', reviewed_at: '2025-10-05T12:00:00Z' };
const bad = { ...conversation, conversation_id: 'c-2', language: '?' };
const NDJSON = 'application/x-ndjson';

interface Setup {
  readonly producer?: ReturnType<typeof memoryProducer>;
  readonly query?: (sql: string, values?: unknown[]) => Promise<{ rows: object[] }>;
  readonly readiness?: () => Promise<Record<string, string>>;
  readonly tokens?: readonly ApiToken[];
  readonly models?: ServerOptions['models'];
}

function server({ producer = memoryProducer(), query, readiness, tokens = [], models = () => undefined }: Setup = {}) {
  const pool = { query: query ?? (() => Promise.resolve({ rows: [] })) } as unknown as Pool;
  const status = () => Promise.resolve({ lag: [] });
  const classifier = { classify: () => Promise.resolve([]) };
  const policy = () => defaultPolicy;
  const live = () => Promise.reject(new Error('not asked here'));
  const parts = readiness ?? (() => Promise.resolve({ kafka: 'ok' }));
  return createServer({
    tokens,
    producer,
    pool,
    scans: pool,
    lookups: pool,
    readiness: parts,
    status,
    classifier,
    policy,
    models,
    artifacts: { get: live },
    training: { threshold: 1000, approvals: live },
    labelStudio: { webhookSecret: undefined, hint: () => Promise.resolve(), standing: () => Promise.resolve({}) },
    live,
    topology: {},
    policies: {} as ServerOptions['policies'],
    deadLetters: {} as ServerOptions['deadLetters'],
  });
}

function post(app: ReturnType<typeof server>, url: string, body: unknown, type = 'application/json') {
  const payload = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  return app.inject({ method: 'POST', url, payload, headers: { 'content-type': type } });
}

interface Refused {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly problems: { line?: number; field: string; message: string }[];
}

describe('POST', () => {
  it('accepts one conversation', async () => {
    const producer = memoryProducer();
    const response = await post(server({ producer }), '/v1/conversations', conversation);
    assert.equal(response.statusCode, 202);
    assert.deepEqual(response.json(), { accepted: 1, ids: ['c-1'], stored: { kafka: 1, spool: 0 } });
    assert.equal(producer.events[0]?.kind, 'conversation');
  });

  it("uses the caller's trace for a whole request, a new one where it is malformed, and none where there is none", async () => {
    const producer = memoryProducer();
    const app = server({ producer });
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const send = (headers: Record<string, string>, payload: object) =>
      app.inject({ method: 'POST', url: '/v1/conversations', payload, headers });
    for (const headers of [{ traceparent }, { traceparent: '00-junk' }, {}]) {
      const second = { ...conversation, conversation_id: 'c-2' };
      assert.equal((await send(headers, [conversation, second])).statusCode, 202);
    }
    const [first, second, third, fourth, ...rest] = producer.events.map((event) => event.traceparent);
    assert.deepEqual([first, second, ...rest], [traceparent, traceparent, undefined, undefined]);
    assert.match(third ?? '', /^00-[\da-f]{32}-[\da-f]{16}-00$/);
    assert.equal(fourth, third);
  });

  it('accepts a review', async () => {
    const producer = memoryProducer();
    assert.equal((await post(server({ producer }), '/v1/reviews', review)).statusCode, 202);
    assert.equal(producer.events[0]?.kind, 'review');
  });

  it('accepts reviews and conversations while the database is away', async () => {
    const app = server({ query: () => Promise.reject(new Error('connect ECONNREFUSED')) });
    assert.equal((await post(app, '/v1/reviews', review)).statusCode, 202);
    assert.equal((await post(app, '/v1/conversations', conversation)).statusCode, 202);
  });

  it("accepts other people's reviews from a token that may ingest or operate, and only their own from a reviewer", async () => {
    const made = {
      reviewer: newToken('asha', ['review']),
      tool: newToken('tool', ['review', 'ingest']),
      operator: newToken('op', ['operate']),
    };
    const producer = memoryProducer();
    const app = server({
      producer,
      tokens: parseTokens(
        Object.values(made)
          .map(({ line }) => line)
          .join('\n'),
      ),
    });
    const send = (who: keyof typeof made, payload: object) =>
      app.inject({
        method: 'POST',
        url: '/v1/reviews',
        payload,
        headers: { authorization: `Bearer ${made[who].token}` },
      });
    const others = [review, { ...review, reviewer: 'ben' }];
    const refused = await send('reviewer', others);
    assert.equal(refused.statusCode, 403);
    assert.match(
      refused.json<Refused>().detail,
      /^The token asha can only send reviews of .* an answer of "ben", .* Nothing of the request was stored\.$/,
    );
    assert.deepEqual(producer.events, []);
    assert.equal((await send('reviewer', [review, review])).statusCode, 202);
    for (const who of ['tool', 'operator'] as const) assert.equal((await send(who, others)).statusCode, 202, who);
    assert.equal(producer.events.length, 6);
  });

  it('accepts an array and NDJSON, in order, with more records than it sends at a time', async () => {
    const many = Array.from({ length: 2500 }, (_, i) => ({ ...conversation, conversation_id: `c-${String(i)}` }));
    for (const [body, type] of [
      [JSON.stringify(many), 'application/json; charset=utf-8'],
      [many.map((one) => `${JSON.stringify(one)}\r\n`).join('\n'), NDJSON],
    ] as const) {
      const response = await post(server(), '/v1/conversations', body, type);
      assert.equal(response.statusCode, 202);
      assert.deepEqual(
        response.json<{ ids: string[] }>().ids,
        many.map((one) => one.conversation_id),
      );
    }
  });

  it('refuses one bad record with its fields', async () => {
    const response = await post(server(), '/v1/conversations', { ...bad, colour: 'red' });
    assert.equal(response.statusCode, 400);
    const { detail, problems } = response.json<Refused>();
    assert.match(detail, /^The conversation is invalid; nothing .*\.$/);
    assert.deepEqual(
      problems.map(({ line, field }) => [line, field]),
      [[undefined, 'colour']],
    );
  });

  it('stores nothing of a batch with a bad line, and names every bad line', async () => {
    const producer = memoryProducer();
    const app = server({ producer });
    const lines = [conversation, bad, conversation].map((one) => JSON.stringify(one));
    const ndjson = await post(app, '/v1/conversations', [...lines, '', '{'].join('\n'), NDJSON);
    assert.equal(ndjson.statusCode, 400);
    assert.match(ndjson.json<Refused>().detail, /^2 of 4 records are invalid/);
    assert.deepEqual(
      ndjson.json<Refused>().problems.map(({ line, field }) => [line, field]),
      [
        [2, 'language'],
        [5, 'conversation'],
      ],
    );
    const array = await post(app, '/v1/conversations', [conversation, bad, 7]);
    assert.deepEqual(
      array.json<Refused>().problems.map(({ line, field }) => [line, field]),
      [
        [2, 'language'],
        [3, 'conversation'],
      ],
    );
    assert.deepEqual(producer.events, []);
  });

  /** `n` records in each of the forms that a request may have. */
  const forms = (record: object, n: number) =>
    [
      [`[${Array.from({ length: n }, () => JSON.stringify(record)).join()}]`, 'application/json'],
      [`${JSON.stringify(record)}\n`.repeat(n), NDJSON],
    ] as const;

  it('accepts 10,000 records in a request, and reads none where there are more', async () => {
    const producer = memoryProducer();
    const app = server({ producer });
    for (const [body, type] of forms(conversation, 10_000))
      assert.equal((await post(app, '/v1/conversations', body, type)).statusCode, 202);
    const taken = producer.events.length;
    for (const [body, type] of [
      ...forms(conversation, 10_001),
      ...forms({}, 1_700_000),
      ['\n'.repeat(5e6), NDJSON] as const,
    ]) {
      const response = await post(app, '/v1/conversations', body, type);
      assert.equal(response.statusCode, 413);
      assert.match(response.json<Refused>().detail, /more than 10,?000 records; send it in parts/);
    }
    assert.equal(producer.events.length, taken);
  });

  it('stops checking after very many problems, and says so', async () => {
    const app = server();
    for (const [body, type] of forms({}, 10_000)) {
      const { detail, problems } = (await post(app, '/v1/conversations', body, type)).json<Refused>();
      const [, invalid, looked] =
        /^(\d+) of the first (\d+) records are invalid, and the others were not checked; nothing of/.exec(detail) ?? [];
      assert.ok(invalid !== undefined && invalid === looked && Number(looked) < 1000, detail);
      assert.equal(problems.length, 1000);
    }
  });

  it('checks no entity where there are too many', async () => {
    for (const entities of [
      new Array(2_000_000).fill(1),
      Object.fromEntries(Array.from({ length: 201 }, (_, i) => [`k${i}`, 1])),
    ]) {
      const response = await post(server(), '/v1/conversations', { ...conversation, entities });
      assert.equal(response.statusCode, 400);
      const [problem, ...others] = response.json<Refused>().problems;
      assert.deepEqual([problem?.field, others], ['entities', []]);
      assert.match(problem?.message ?? '', /^There are (2000000|201); at most 200 are allowed\.$/);
    }
  });

  it('refuses JSON that is not UTF-8, at every route, and stores nothing of it', async () => {
    const producer = memoryProducer();
    const app = server({ producer });
    for (const [url, record] of [
      ['/v1/conversations', { ...conversation, conversation_id: 'c-ÿ' }],
      ['/v1/reviews', { ...review, reviewer: 'ÿ' }],
      ['/v1/classify', { text: 'ÿ' }],
    ] as const) {
      const response = await post(app, url, Buffer.from(JSON.stringify(record), 'latin1'));
      assert.equal(response.statusCode, 400, url);
      assert.match(response.json<Refused>().detail, /not UTF-8/);
    }
    assert.deepEqual(producer.events, []);
  });

  it('names line and field of a key such as __proto__, and refuses it at all other routes', async () => {
    const app = server();
    const poisoned = JSON.stringify([conversation, conversation, { ...conversation, entities: { name: 'x' } }]);
    const records = await post(app, '/v1/conversations', poisoned.replace('"name":', '"__proto__":'));
    assert.deepEqual(
      [records.statusCode, records.json<Refused>().problems],
      [
        400,
        [
          {
            line: 3,
            field: 'entities[0].name',
            message: '"__proto__" is not a name of 1 to 100 letters, digits and _ . : / - .',
          },
        ],
      ],
    );
    const shown = { ...review, shown: { intent: 'track_order', module: 'food', name: {} } };
    const one = await post(app, '/v1/reviews', JSON.stringify(shown).replace('"name":', '"__proto__":'));
    assert.deepEqual(
      one.json<Refused>().problems.map(({ field }) => field),
      ['shown.__proto__'],
    );
    const policy = await post(app, '/v1/policies', '{"policy":{"thresholds":{"__proto__":{}}},"reason":"x"}');
    assert.equal(policy.statusCode, 400);
    assert.match(policy.json<Refused>().detail, /not valid JSON/);
  });

  const refused: readonly (readonly [string, string | Buffer, string, number])[] = [
    ['an empty array', '[]', 'application/json', 400],
    ['empty NDJSON', '\n\n', NDJSON, 400],
    ['an empty body', '', 'application/json', 400],
    ['broken JSON', '{', 'application/json', 400],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22]), NDJSON, 400],
    ['a poisoned prototype', '{"__proto__":{"x":1}}', 'application/json', 400],
    ['a poisoned prototype in NDJSON', '{"__proto__":{"x":1}}', NDJSON, 400],
    ['a form', 'conversation_id=c-1', 'application/x-www-form-urlencoded', 415],
    ['plain text', JSON.stringify(conversation), 'text/plain', 415],
    ['a body above the limit', JSON.stringify('x'.repeat(MAX_INGEST_BYTES)), 'application/json', 413],
    ['NDJSON above the limit', 'x'.repeat(MAX_INGEST_BYTES + 1), NDJSON, 413],
  ];
  for (const [what, body, type, status] of refused) {
    it(`refuses ${what} with ${status} and a sentence`, async () => {
      const response = await post(server(), '/v1/conversations', body, type);
      assert.equal(response.statusCode, status);
      assert.equal(response.headers['content-type'], 'application/problem+json; charset=utf-8');
      assert.equal(response.json<Refused>().status, status);
      assert.match(response.json<Refused>().detail, /^[A-Z].*\.$/);
    });
  }

  it('refuses a compressed body, and names the header', async () => {
    const producer = memoryProducer();
    const app = server({ producer });
    const send = (encoding: string) =>
      app.inject({
        method: 'POST',
        url: '/v1/conversations',
        payload: conversation,
        headers: { 'content-encoding': encoding },
      });
    for (const encoding of ['gzip', 'br, gzip', 'x'.repeat(10_000)]) {
      const response = await send(encoding);
      assert.equal(response.statusCode, 415);
      assert.equal(response.headers['accept-encoding'], 'identity');
      assert.match(response.json<Refused>().detail, /^The server does not read Content-Encoding: .{1,300}\.$/);
    }
    assert.deepEqual(producer.events, []);
    assert.equal((await send('Identity')).statusCode, 202);
  });

  for (const [refusal, type] of [
    [new SpoolFull('The spool is full.', 30), 'urn:samvad:problem:spool-full'],
    [new SpoolUnwritable("The spool can't be written: EROFS.", 30), 'about:blank'],
  ] as const)
    it(`answers 503 with Retry-After on ${refusal.name}`, async () => {
      const producer = memoryProducer(() => {
        throw refusal;
      });
      const response = await post(server({ producer }), '/v1/conversations', conversation);
      assert.equal(response.statusCode, 503);
      assert.equal(response.headers['retry-after'], '30');
      assert.ok(response.json<Refused>().detail.startsWith(refusal.message));
      assert.equal(response.json<{ type: string }>().type, type);
    });

  it('hides the details of an unexpected failure', async () => {
    const producer = memoryProducer(() => {
      throw new Error('secret of /var/lib');
    });
    const response = await post(server({ producer }), '/v1/conversations', conversation);
    assert.equal(response.statusCode, 500);
    assert.doesNotMatch(response.body, /secret|at .*\.ts/);
    assert.match(response.json<Refused>().detail, /its log has the reason under req-/);
  });
});

describe('GET', () => {
  it('reports health, readiness and status', async () => {
    const app = server();
    assert.deepEqual((await app.inject('/healthz')).json(), { status: 'ok' });
    assert.deepEqual((await app.inject('/readyz')).json(), { status: 'ok', parts: { kafka: 'ok' } });
    assert.deepEqual((await app.inject('/v1/status')).json(), { lag: [] });
  });

  it('counts the labels once for requests that come within a moment', async () => {
    let counted = 0;
    const app = server({
      query: async () => {
        counted++;
        await sleep(100);
        return { rows: [{ module: 'food', intent: 'track_order', conversations: 1 }] };
      },
    });
    const ask = async () => (await app.inject('/v1/labels')).json<object[]>();
    const [first, second] = await Promise.all([ask(), ask()]);
    assert.deepEqual([first.length, second, await ask(), counted], [1, first, first, 1]);
  });

  it('limits the rate of each route by itself, but not of probes and of files that a page loads', async () => {
    const app = server();
    const left = async (url: string) => (await app.inject(url)).headers['x-ratelimit-remaining'];
    for (let asked = 1; asked <= 3; asked++)
      for (const url of ['/v1/models', '/v1/status', '/']) assert.equal(await left(url), String(6000 - asked), url);
    for (const url of ['/healthz', '/readyz', '/pages/api.js', '/assets/lit-html/lit-html.js'])
      assert.equal(await left(url), undefined, url);
  });

  it('is not ready while a part is not', async () => {
    const parts = { kafka: 'It does not answer.', postgres: 'ok' };
    const response = await server({ readiness: () => Promise.resolve(parts) }).inject('/readyz');
    assert.equal(response.statusCode, 503);
    assert.deepEqual(response.json(), { status: 'not ready', parts });
  });

  it('returns the state of the rollout with each version, once it has read the log', async () => {
    const version = 'router-v1.1.0';
    const query = () => Promise.resolve({ rows: [{ version }] });
    const [unknown] = (await server({ query }).inject('/v1/models')).json<object[]>();
    assert.deepEqual(unknown, { version, judged: null, no_trial: null });
    const act = { by: 'test', reason: 'a test', at: 0 };
    let log = foldLog(emptyLog, { models: [firstModel()] });
    log = foldLog(log, { models: register(log, version, blankStanding(0), act) });
    log = foldLog(log, { models: setTraffic(log, version, 10, act) });
    const verdict = {
      verdict: 'no-data',
      reasons: ['None.'],
      against: 'router-v1.0.0',
      traffic_percentage: 10,
      labels: 0,
    };
    log = foldLog(log, { models: [judgedEvent(log, version, { ...verdict, from: [], to: [] }, 0)] });
    const app = server({ query, models: () => log });
    const judged = { ...verdict, at: '1970-01-01T00:00:00.000Z' };
    for (const url of [`/v1/models/${version}`, '/v1/models/production'])
      assert.deepEqual((await app.inject(url)).json(), { version, judged, no_trial: null });
  });

  it('returns models, and a conversation by its id', async () => {
    const asked: unknown[] = [];
    const app = server({
      query: (sql, values) => {
        asked.push(values);
        const created_at = new Date(0);
        const row = { conversation_id: 'a/b', route: 'needs-review', route_reasons: [], created_at };
        return Promise.resolve({ rows: /conversation_reviews|training_sample_rows/.test(sql) ? [] : [row] });
      },
    });
    assert.equal((await app.inject('/v1/models')).json<object[]>().length, 1);
    const history = (await app.inject('/v1/conversations/a%2Fb')).json<Record<string, unknown>>();
    assert.equal(history['conversation_id'], 'a/b');
    assert.deepEqual(
      (history['timeline'] as { what: string }[]).map(({ what }) => what),
      ['captured', 'routed'],
    );
    assert.deepEqual(asked, [[], ['a/b'], ['a/b'], ['a/b'], ['a/b']]);
  });

  for (const id of ['x'.repeat(200), 'हिन्दी/%'.repeat(25)]) {
    it(`looks up a conversation whose id has the greatest length: ${id.slice(0, 8)}…`, async () => {
      const asked: unknown[] = [];
      const app = server({
        query: (_sql, values = []) => {
          asked.push(...values);
          return Promise.resolve({ rows: [] });
        },
      });
      assert.equal((await app.inject(`/v1/conversations/${encodeURIComponent(id)}`)).statusCode, 404);
      assert.equal(asked[0], id);
    });
  }

  it('answers an id that is too long, and a malformed address, with problem details', async () => {
    const app = server();
    for (const [url, status] of [
      [`/v1/conversations/${'x'.repeat(9000)}`, 414],
      [`/v1/conversations/%ff${'x'.repeat(9000)}`, 400],
    ] as const) {
      const response = await app.inject(url);
      assert.equal(response.statusCode, status);
      assert.equal(response.headers['content-type'], 'application/problem+json; charset=utf-8');
      assert.match(response.json<Refused>().detail, /^(The path|A part of the path) has [^x]{1,100}\.$/);
    }
  });

  for (const url of ['/v1/conversations/unknown', '/v1/conversations/%00', '/nowhere']) {
    it(`answers 404 for ${url}`, async () => {
      const response = await server().inject(url);
      assert.equal(response.statusCode, 404);
      assert.match(response.json<Refused>().detail, /^There is no .*\.$/);
    });
  }

  it('answers 503 while the database is away', async () => {
    const query = () => Promise.reject(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }));
    const response = await server({ query }).inject('/v1/models');
    assert.equal(response.statusCode, 503);
    assert.equal(response.headers['retry-after'], '5');
  });
});

describe('the server', () => {
  /** Both ways to listen: as one application, and as `samvad up` does, in front of several. */
  const listening = {
    'an application': async () => {
      const app = server();
      const url = await app.listen({ port: 0, host: '127.0.0.1' });
      return { url, close: () => app.close() };
    },
    'a front': async () => {
      const front = await openFront({ host: '127.0.0.1', port: 0, variable: 'SAMVAD_HTTP_PORT' }, server());
      await front.serve(server());
      return front;
    },
  };
  for (const [what, listen] of Object.entries(listening)) {
    it(`as ${what} closes at once although a browser keeps an unused connection`, { timeout: 10_000 }, async () => {
      const listener = await listen();
      const socket = connect(Number(new URL(listener.url).port), '127.0.0.1');
      const closed = once(socket, 'close');
      await once(socket, 'connect');
      assert.equal((await fetch(`${listener.url}/healthz`)).status, 200); // so that the server has accepted the connection before it
      await listener.close();
      await closed;
    });
  }

  it('describes every route of the API', async () => {
    const app = server();
    const urls = new Set<string>();
    app.addHook('onRoute', ({ url }) => {
      if (/^\/(v1|healthz|readyz)/.test(url)) urls.add(url);
    });
    const { openapi, paths } = (await app.inject('/docs/json')).json<{
      openapi: string;
      paths: Record<string, Record<string, { description: string }>>;
    }>();
    assert.match(openapi, /^3\.1/);
    assert.match(
      paths['/v1/conversations']?.['post']?.description ?? '',
      /^For tokens with the role `ingest`\. At most 10000 records/,
    );
    const described = [...urls].map((url) => url.replaceAll(/:(\w+)/g, '{$1}'));
    assert.deepEqual(Object.keys(paths).toSorted(), described.toSorted());
  });

  it('serves the pages and all that they load by itself, without inline script or style', async () => {
    const app = server();
    for (const { path } of pages) {
      const { statusCode, body, headers } = await app.inject(path);
      assert.equal(statusCode, 200);
      assert.match(
        String(headers['content-security-policy']),
        /default-src 'none';script-src 'self';style-src 'self';/,
      );
      assert.doesNotMatch(body, /<script(?![^>]* src=)|<style| style=| on[a-z]+=/);
      for (const [, file = ''] of body.matchAll(/(?:src|href)="(\/(?:pages|assets)\/[^"]+)"/g)) {
        assert.equal((await app.inject(file)).statusCode, 200, file);
      }
    }
    for (const file of ['/assets/lit-html/lit-html.js', '/assets/uplot/uPlot.esm.js', '/pages/api.js']) {
      assert.equal((await app.inject(file)).statusCode, 200, file);
    }
  });

  it('serves no file from outside of its folders', async () => {
    for (const url of ['/pages/../server.ts', '/pages/%2e%2e/server.ts', '/pages/..%2fserver.ts']) {
      const { statusCode, body } = await server().inject(url);
      assert.ok(statusCode >= 400, url);
      assert.doesNotMatch(body, /createServer/);
    }
  });
});
