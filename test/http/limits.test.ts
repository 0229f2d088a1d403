import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createServer } from '../../http/server.ts';
import type { ServerOptions } from '../../http/server.ts';

/** A server on which a request that passes the checks finds an empty database. */
function server() {
  const pool = { query: () => Promise.resolve({ rows: [] }) };
  return createServer({ tokens: [], pool, scans: pool, policies: {} } as unknown as ServerOptions);
}

interface Refused {
  readonly detail: string;
  readonly problems: readonly { readonly field: string; readonly message: string }[];
}

async function refusal(url: string, payload: string) {
  const headers = { 'content-type': 'application/json' };
  const response = await server().inject({ method: 'POST', url, payload, headers });
  assert.equal(response.statusCode, 400, response.body.slice(0, 500));
  return response.json<Refused>();
}

const list = (item: string) => `[${Array(100_000).fill(item).join()}]`;
const fields = (count: number) =>
  JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 1])));

describe('a body with very many mistakes', () => {
  for (const [url, payload, field] of [
    ['/v1/review-queue/answers', `{"session":"s","reviewer":"r","answers":${list('{}')}}`, 'answers'],
    ['/v1/review-queue/next', `{"session":"s","reviewer":"r","join":{"lead":"l","ids":${list('""')}}}`, 'join.ids'],
    ['/v1/dead-letters/replay', `{"ids":${list('1')}}`, 'ids'],
    ['/v1/policies', `{"reason":"x","policy":{"exceptions":${list('1')}}}`, 'exceptions'],
    ['/v1/policies/what-if', `{"policy":{"exceptions":${list('1')}}}`, 'exceptions'],
  ] as const)
    it(`at ${url} is refused for the length of its list, and no item of it is checked`, async () => {
      const { problems } = await refusal(url, payload);
      const ofList = problems.filter((problem) => problem.field.startsWith(field));
      assert.deepEqual(
        ofList.map((problem) => problem.field),
        [field],
      );
      assert.match(ofList[0]?.message ?? '', /^It must NOT have more than \d+ items\.$|^There are 100000; at most 50 /);
    });

  it('has few of its unknown fields named', async () => {
    for (const url of ['/v1/erasures', '/v1/review-queue/release'])
      assert.ok((await refusal(url, fields(60_000))).problems.length <= 11, url);
  });
});

it('an unknown field is named in a sentence, be its name empty or long', async () => {
  for (const [name, shown] of [
    ['colour', 'colour'],
    ['', '""'],
    ['x'.repeat(100_000), 'x'.repeat(40)],
  ] as const) {
    const body = { session: 's', join: { lead: 'l', ids: ['i'], [name]: 1 } };
    assert.deepEqual((await refusal('/v1/review-queue/next', JSON.stringify(body))).problems, [
      { field: `join.${shown}`, message: 'It is not a field of join.' },
    ]);
    assert.deepEqual(
      (await refusal('/v1/review-queue/release', JSON.stringify({ session: 's', [name]: 1 }))).problems,
      [{ field: shown, message: 'It is not a field of the body.' }],
    );
  }
});

describe('a number without an end', () => {
  it('is refused by every query of the API that takes a whole number', async () => {
    const app = server();
    const { paths } = (await app.inject('/docs/json')).json<{
      paths: Record<string, { get?: { parameters?: { in: string; name: string; schema: { type?: string } }[] } }>;
    }>();
    const queries = Object.entries(paths).flatMap(([path, { get }]) =>
      (get?.parameters ?? []).flatMap((one) =>
        one.in === 'query' && one.schema.type === 'integer' ? [`${path.replaceAll(/\{\w+\}/g, 'x')}?${one.name}=`] : [],
      ),
    );
    assert.ok(queries.length >= 5, queries.join());
    for (const query of queries)
      for (const value of ['Infinity', '-Infinity', '1e999', 'NaN'])
        assert.equal((await app.inject(query + value)).statusCode, 400, query + value);
  });

  it('is refused in a body', async () => {
    for (const count of ['"Infinity"', '"-Infinity"', '1e999', '"NaN"']) {
      const payload = `{"session":"s","reviewer":"r","count":${count}}`;
      assert.equal((await refusal('/v1/review-queue/next', payload)).problems[0]?.field, 'count');
    }
  });
});
