import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { labelStudioApi } from '../../label-studio/api.ts';
import {
  connectHttp,
  isPersonalAccessToken,
  LabelStudioRefused,
  LabelStudioUnavailable,
} from '../../label-studio/http.ts';
import { jwt, startStub } from './stub-server.ts';
import type { StubServer } from './stub-server.ts';

const PERSONAL = jwt({ token_type: 'refresh' });

describe('the HTTP client of Label Studio', () => {
  let stub: StubServer;
  before(async () => {
    stub = await startStub();
  });
  after(() => stub.close());

  const refreshes = () => stub.requests.filter((request) => request === 'POST /api/token/refresh/').length;

  it('sends a legacy token as it is', async () => {
    const send = connectHttp({ url: stub.url, apiKey: 'legacy' });
    assert.deepEqual(await labelStudioApi(send).projectsByTitle('any'), []);
    assert.equal(refreshes(), 0);
  });

  it('gets one access token for a personal access token, and another when the first is refused', async () => {
    const api = labelStudioApi(connectHttp({ url: stub.url, apiKey: PERSONAL }));
    const first = refreshes();
    await api.projectsByTitle('any');
    await api.projectsByTitle('any');
    assert.equal(refreshes(), first + 1);
    // Another client refreshes: the stub accepts only the newest token.
    await labelStudioApi(connectHttp({ url: stub.url, apiKey: PERSONAL })).projectsByTitle('any');
    await api.projectsByTitle('any');
    assert.equal(refreshes(), first + 3);
  });

  it('renews an access token before it expires', async () => {
    const own = await startStub({ lifeSeconds: 300 });
    let seconds = 0;
    const api = labelStudioApi(connectHttp({ url: own.url, apiKey: PERSONAL }, 2000, () => seconds * 1000));
    for (const [at, renewed] of [
      [0, 1],
      [239, 1],
      [241, 2],
      [480, 2],
    ] as const) {
      seconds = at;
      await api.projectsByTitle('any');
      assert.equal(own.requests.filter((request) => request.includes('refresh')).length, renewed, `at ${String(at)} s`);
    }
    // A request with an expired token would have been sent a second time.
    assert.equal(own.requests.filter((request) => request === 'GET /api/projects/').length, 4);
    await own.close();
  });

  it('distinguishes the kinds of token', () => {
    assert.equal(isPersonalAccessToken(PERSONAL), true);
    for (const legacy of ['0123456789abcdef0123456789abcdef01234567', '', 'a.b', 'a.b.c'])
      assert.equal(isPersonalAccessToken(legacy), false);
  });

  it('says in words what is wrong, and whether it is temporary', async () => {
    await assert.rejects(connectHttp({ url: stub.url, apiKey: 'wrong' })('GET', 'api/projects/'), (error: Error) => {
      return error instanceof LabelStudioRefused && error.status === 401 && /LABEL_STUDIO_API_KEY/.test(error.message);
    });
    const send = connectHttp({ url: stub.url, apiKey: 'legacy' });
    await assert.rejects(send('GET', 'api/nothing'), LabelStudioRefused);
    stub.fault = () => 'unavailable';
    await assert.rejects(send('GET', 'api/projects/'), LabelStudioUnavailable);
    stub.fault = () => 'lose-answer';
    await assert.rejects(send('GET', 'api/projects/'), LabelStudioUnavailable);
    stub.fault = () => undefined;
    const nobody = connectHttp({ url: 'http://127.0.0.1:9/', apiKey: 'legacy' });
    await assert.rejects(nobody('GET', 'api/projects/'), /Label Studio at http:\/\/127\.0\.0\.1:9\/ does not answer/);
  });
});
