import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fastify } from 'fastify';
import { classifyRoutes } from '../../http/classify.ts';
import { refuse } from '../../http/problem.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import type { Question } from '../../serving/classifier.ts';

describe('POST /v1/classify', () => {
  it('uses the language tag in canonical case, and "und" where there is none', async () => {
    const app = fastify();
    app.addSchema({ $id: 'Problem' });
    const asked: (string | null)[] = [];
    const classify = (questions: readonly Question[]) => {
      asked.push(...questions.map(({ language }) => language));
      return Promise.resolve([]);
    };
    classifyRoutes(app, { classifier: { classify }, policy: () => defaultPolicy });
    const payload = ['TA', 'hi-latn', undefined].map((language) => ({ text: 'a', language }));
    await app.inject({ method: 'POST', url: '/v1/classify', payload });
    await app.close();
    assert.deepEqual(asked, ['ta', 'hi-Latn', 'und']);
  });

  for (const [body, line] of [
    ['null', undefined],
    ['[null]', 1],
    ['[{"text":"a"},null]', 2],
    ['7', undefined],
  ] as const)
    it(`refuses ${body}, and names its line in a batch`, async () => {
      const app = fastify();
      app.addSchema({ $id: 'Problem' });
      app.setErrorHandler(refuse);
      const classifier = { classify: () => Promise.reject(new Error('nothing is to be answered')) };
      classifyRoutes(app, { classifier, policy: () => defaultPolicy });
      const headers = { 'content-type': 'application/json' };
      const answer = await app.inject({ method: 'POST', url: '/v1/classify', headers, payload: body });
      await app.close();
      assert.equal(answer.statusCode, 400, answer.body);
      const { problems } = JSON.parse(answer.body) as { problems: readonly object[] };
      const problem = { field: 'body', message: 'It is not an object with the field text.' };
      assert.deepEqual(problems, [line === undefined ? problem : { line, ...problem }]);
    });

  it('names at most ten unknown fields of a text, and 100 problems of a request', async () => {
    const app = fastify();
    app.addSchema({ $id: 'Problem' });
    app.setErrorHandler(refuse);
    const classifier = { classify: () => Promise.reject(new Error('nothing is to be answered')) };
    classifyRoutes(app, { classifier, policy: () => defaultPolicy });
    const fields = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 1]));
    const refused = async (payload: object) => {
      const answer = await app.inject({ method: 'POST', url: '/v1/classify', payload });
      assert.equal(answer.statusCode, 400, answer.body);
      return answer.json<{ problems: { line?: number; field: string }[] }>().problems;
    };
    const one = await refused({ text: 'a', ...fields(150_000) });
    assert.deepEqual(
      one.map(({ field }) => field),
      Object.keys(fields(10)),
    );
    const many = await refused(Array.from({ length: 300 }, () => ({ text: 7, ...fields(300) })));
    assert.deepEqual([many.length, many.at(-1)?.line], [100, 10]);
    assert.deepEqual((await refused({ text: 'a', '': 1 }))[0]?.field, '""');
    await app.close();
  });
});
