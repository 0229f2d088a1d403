import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { ConfigError, readConfig } from '../../config.ts';
import { createServer } from '../../http/server.ts';
import type { ServerOptions } from '../../http/server.ts';
import { newToken, parseTokens, recognise } from '../../http/tokens.ts';

const { token, line } = newToken('asha', ['review']);
const server = (tokens = parseTokens(line)) => createServer({ tokens } as unknown as ServerOptions);

describe('signing in', () => {
  it('turns a token into a cookie that scripts and other sites cannot use, and removes it on sign-out', async () => {
    const app = server();
    const signedIn = await app.inject({ method: 'POST', url: '/v1/session', payload: { token: ` ${token} ` } });
    assert.deepEqual(signedIn.json(), { needed: true, name: 'asha', roles: ['review'] });
    const set = String(signedIn.headers['set-cookie']);
    assert.match(set, /^samvad_token=smv_[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
    const cookie = set.split(';')[0] ?? '';
    const who = await app.inject({ url: '/v1/session', headers: { cookie } });
    assert.deepEqual(who.json(), { needed: true, name: 'asha', roles: ['review'] });
    const out = await app.inject({ method: 'DELETE', url: '/v1/session', headers: { cookie } });
    assert.equal(out.statusCode, 204);
    assert.match(String(out.headers['set-cookie']), /^samvad_token=; .*Max-Age=0$/);
  });

  it('restricts the cookie to TLS behind a proxy with TLS', async () => {
    const headers = { 'x-forwarded-proto': 'https' };
    const signedIn = await server().inject({ method: 'POST', url: '/v1/session', payload: { token }, headers });
    assert.match(String(signedIn.headers['set-cookie']), /; Secure$/);
  });

  it('refuses an unknown token, a form of another site, and many guesses', async () => {
    const app = server();
    const wrong = () => app.inject({ method: 'POST', url: '/v1/session', payload: { token: 'smv_wrong' } });
    assert.equal((await wrong()).statusCode, 401);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const form = await app.inject({ method: 'POST', url: '/v1/session', payload: `token=${token}`, headers });
    assert.equal(form.statusCode, 415);
    const answers = await Promise.all(Array.from({ length: 30 }, wrong));
    assert.ok(answers.some(({ statusCode }) => statusCode === 429));
  });

  it('says when no token is needed', async () => {
    const { needed, name } = (await server([]).inject('/v1/session')).json<{ needed: boolean; name: null }>();
    assert.deepEqual([needed, name], [false, null]);
  });
});

describe('tokens', () => {
  it('are stored as a digest, and recognised', () => {
    assert.ok(!line.includes(token));
    const others = newToken('ravi', ['ingest', 'operate']);
    const known = parseTokens(`# who may do what\n${line}\n\n${others.line} # from the gateway`);
    assert.equal(recognise(known, token)?.name, 'asha');
    assert.deepEqual(recognise(known, others.token)?.roles, ['ingest', 'operate']);
    assert.equal(recognise(known, `${token} `), undefined);
    assert.equal(recognise(known, ''), undefined);
  });

  const sha = `sha256:${'0'.repeat(64)}`;
  for (const [text, why] of [
    ['', /holds no token/],
    ['# nothing', /holds no token/],
    [`asha review ${token}`, /line 1: it must be NAME ROLES sha256:HEX/],
    [`asha review sha256:12`, /line 1: it must be/],
    [`asha ${sha}`, /line 1: it must be/],
    [`\nasha admin ${sha}`, /line 2: there is no role admin; the roles are ingest/],
    [`asha read,read ${sha}\nasha read ${sha}`, /line 2: there are two tokens of asha/],
    [`<b> read ${sha}`, /the name <b> is not valid/],
  ] as const) {
    it(`refuses ${JSON.stringify(text.slice(0, 30))} with a sentence that shows no secret`, () => {
      assert.throws(
        () => parseTokens(text),
        (error) => error instanceof ConfigError && why.test(error.message) && !error.message.includes(token),
      );
    });
  }

  it('come from the variable or from the file that it names', async (t) => {
    assert.equal(readConfig({ SAMVAD_API_TOKENS: line }).http.tokens, line);
    const folder = await mkdtemp(path.join(tmpdir(), 'samvad-tokens-'));
    t.after(() => rm(folder, { recursive: true }));
    const file = path.join(folder, 'tokens');
    await writeFile(file, `# who may do what\n${line}\n`);
    assert.equal(
      recognise(parseTokens(readConfig({ SAMVAD_API_TOKENS: file }).http.tokens ?? ''), token)?.name,
      'asha',
    );
    assert.equal(readConfig({}).http.tokens, undefined);
    assert.throws(() => readConfig({ SAMVAD_API_TOKENS: '/nowhere/tokens' }), /names a file that can't be read/);
  });
});
