import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fastify from 'fastify';
import { labelStudioRoutes } from '../../http/label-studio.ts';
import { describeApi } from '../../http/openapi.ts';

const SECRET = 'a secret';
const url = '/v1/label-studio/webhook';

function server(webhookSecret: string | undefined) {
  let hints = 0;
  const app = fastify();
  describeApi(app);
  app.register((scope, _options, done) => {
    labelStudioRoutes(scope, {
      labelStudio: {
        webhookSecret,
        hint: () => Promise.resolve(hints++).then(() => undefined),
        standing: () => Promise.resolve({}),
      },
    });
    done();
  });
  return { app, hints: () => hints };
}

describe('the webhook', () => {
  it('is a hint, whatever its body', async () => {
    const { app, hints } = server(SECRET);
    const annotations = Array.from({ length: 5000 }, (_, id) => ({ id, result: 'x'.repeat(400) }));
    for (const payload of [
      JSON.stringify({ action: 'ANNOTATION_CREATED' }),
      JSON.stringify({ action: 'ANNOTATIONS_CREATED', annotation: annotations }),
      JSON.stringify({ action: 'ANNOTATIONS_CREATED', annotation: annotations[0] }),
      'not JSON at all',
      '',
    ]) {
      const headers = { 'content-type': 'application/json', 'x-samvad-secret': SECRET };
      const { statusCode } = await app.inject({ method: 'POST', url, headers, payload });
      assert.equal(statusCode, 202);
    }
    assert.equal(hints(), 5);
  });

  it('without the secret is refused', async () => {
    for (const [configured, given] of [
      [SECRET, undefined],
      [SECRET, 'another'],
      [undefined, ''],
      [undefined, SECRET],
    ] as const) {
      const { app, hints } = server(configured);
      const headers = given === undefined ? {} : { 'x-samvad-secret': given };
      const { statusCode } = await app.inject({ method: 'POST', url, headers, payload: '{}' });
      assert.equal(statusCode, 403);
      assert.equal(hints(), 0);
    }
  });
});
