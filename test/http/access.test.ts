import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FastifyInstance, RouteOptions } from 'fastify';
import { isLoopback } from '../../http/access.ts';
import { allows, roles } from '../../http/roles.ts';
import type { Role } from '../../http/roles.ts';
import { createServer } from '../../http/server.ts';
import type { ServerOptions } from '../../http/server.ts';
import { newToken, parseTokens } from '../../http/tokens.ts';

interface Route {
  readonly method: string;
  readonly url: string;
  readonly role: Role | 'anyone' | undefined;
}

const made = new Map(roles.map((role) => [role, newToken(`${role}er`, [role])]));
const tokens = parseTokens([...made.values()].map(({ line }) => line).join('\n'));
const tokenOf = (role: Role) => made.get(role)?.token ?? '';
const PASSED = 299;

/** A server whose routes all answer 299 to a caller that the guard admits; their handlers do not run. */
async function guarded(known = tokens): Promise<{ app: FastifyInstance; routes: Route[] }> {
  const app = createServer({ tokens: known } as unknown as ServerOptions);
  const registered: RouteOptions[] = [];
  app.addHook('onRoute', (route) => void registered.push(route));
  app.addHook('onRequest', (_request, reply) => reply.code(PASSED).send());
  await app.ready();
  const routes = registered.flatMap(({ method, url, config }) =>
    [method].flat().map((one) => ({ method: one, url, role: config?.role })),
  );
  return { app, routes };
}

/** An address that the route answers: its parameters filled in. */
const addressOf = ({ url }: Route) => url.replaceAll(/:\w+|\*/g, 'x');

const bearer = (role: Role) => ({ authorization: `Bearer ${tokenOf(role)}` });
const cookie = (role: Role) => ({ cookie: `a=b; samvad_token=${tokenOf(role)}` });

describe('with tokens', () => {
  it('every route names its role, and so does its documentation', async () => {
    const { app, routes } = await guarded();
    assert.ok(routes.length > 20);
    assert.deepEqual(
      routes.filter(({ role }) => role === undefined),
      [],
    );
    const documented = app.swagger().paths as Record<string, Record<string, { description?: string }>>;
    for (const [path, methods] of Object.entries(documented))
      for (const [method, { description }] of Object.entries(methods))
        assert.match(description ?? '', /^For (anyone|tokens with the role `\w+`)\./, `${method} ${path}`);
  });

  it('every route admits callers with its role and nobody else', async () => {
    const { app, routes } = await guarded();
    for (const route of routes) {
      const { method, role = 'operate' } = route;
      const ask = async (headers: Record<string, string>) =>
        (await app.inject({ method: method as 'GET', url: addressOf(route), headers })).statusCode;
      const told = `${method} ${route.url} (${role})`;
      assert.equal(await ask({}), role === 'anyone' ? PASSED : 401, told);
      for (const held of roles) {
        const expected = role === 'anyone' || allows([held], role) ? PASSED : 403;
        assert.equal(await ask(bearer(held)), expected, `${told} with ${held}`);
        assert.equal(await ask(cookie(held)), expected, `${told} with ${held} as a cookie`);
      }
    }
  });

  it('each role includes the weaker ones', () => {
    const held = (one: Role) => roles.filter((wanted) => allows([one], wanted));
    assert.deepEqual(Object.fromEntries(roles.map((role) => [role, held(role)])), {
      ingest: ['ingest'],
      read: ['read'],
      review: ['review', 'read'],
      operate: ['review', 'operate', 'read'],
    });
  });

  for (const authorization of [
    'Bearer',
    'Bearer x',
    `Basic ${tokenOf('read')}`,
    `Bearer ${tokenOf('read')}x`,
    tokenOf('read'),
  ]) {
    it(`refuses ${authorization.replace(/smv_\S{10}.*/, 'TOKEN…')} with 401 and a sentence`, async () => {
      const { app } = await guarded();
      const response = await app.inject({ url: '/v1/models', headers: { authorization, ...cookie('read') } });
      assert.equal(response.statusCode, 401);
      assert.match(response.json<{ detail: string }>().detail, /^GET \/v1\/models does not know this token; send one/);
      assert.match(String(response.headers['www-authenticate']), /^Bearer/);
    });
  }

  it('sends a browser that opens a page to the sign-in', async () => {
    const { app } = await guarded();
    const headers = { accept: 'text/html,application/xhtml+xml' };
    const response = await app.inject({ url: '/?a=b', headers });
    assert.equal(response.statusCode, 303);
    assert.equal(response.headers.location, '/sign-in?to=%2F%3Fa%3Db');
    assert.equal((await app.inject({ url: '/sign-in', headers })).statusCode, PASSED);
  });

  it('accepts a cookie only from its own pages', async () => {
    const { app } = await guarded();
    const post = async (headers: Record<string, string>) =>
      (await app.inject({ method: 'POST', url: '/v1/reviews', headers: { host: 'samvad.example', ...headers } }))
        .statusCode;
    const signed = cookie('review');
    assert.equal(await post({ ...signed, origin: 'https://samvad.example' }), PASSED);
    assert.equal(await post({ ...signed, 'sec-fetch-site': 'same-origin' }), PASSED);
    assert.equal(await post({ ...signed, origin: 'https://evil.example' }), 403);
    assert.equal(await post({ ...signed, origin: 'null' }), 403);
    assert.equal(await post({ ...signed, 'sec-fetch-site': 'same-site', origin: 'https://samvad.example' }), 403);
    assert.equal(await post({ ...signed, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }), 403);
  });
});

describe('without tokens', () => {
  const ask = async (headers: Record<string, string>, method: 'GET' | 'POST' = 'GET') => {
    const { app } = await guarded([]);
    return (await app.inject({ method, url: method === 'GET' ? '/v1/models' : '/v1/conversations', headers }))
      .statusCode;
  };

  it('answers requests to the names of this machine', async () => {
    for (const host of ['localhost', 'localhost:8080', '127.0.0.1:8080', '[::1]:8080'])
      assert.equal(await ask({ host }), PASSED, host);
  });

  it('refuses a foreign Host header, as DNS rebinding sends it', async () => {
    for (const host of ['evil.example', 'evil.example:8080', '127.0.0.1.evil.example', '10.0.0.7:8080'])
      assert.equal(await ask({ host }), 403, host);
  });

  it('refuses requests from pages of other sites, but lets a link open a page', async () => {
    const host = '127.0.0.1:8080';
    for (const headers of [
      { host, origin: 'https://evil.example' },
      { host, origin: 'http://127.0.0.1:3000' },
      { host, origin: 'null' },
      { host, 'sec-fetch-site': 'cross-site' },
      { host, 'sec-fetch-site': 'same-site' },
    ] as Record<string, string>[]) {
      assert.equal(await ask(headers), 403, JSON.stringify(headers));
      assert.equal(await ask(headers, 'POST'), 403, JSON.stringify(headers));
    }
    const link = { host, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' };
    assert.equal(await ask(link), PASSED);
    assert.equal(await ask(link, 'POST'), 403);
    assert.equal(await ask({ host, origin: 'http://127.0.0.1:8080' }, 'POST'), PASSED);
  });
});

it('isLoopback accepts only names of this machine', () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) assert.ok(isLoopback(host), host);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'localhost.evil.example', '127.0.0.1.evil.example', ''])
    assert.ok(!isLoopback(host), host);
});
