import assert from 'node:assert/strict';
import { it } from 'node:test';
import fastify from 'fastify';
import { pageRoutes } from '../../status/pages.ts';

it('a page names every module that it will import, so that the browser fetches them in one round', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  pageRoutes(app);
  const named = async (page: string) =>
    [...(await app.inject(page)).body.matchAll(/rel="modulepreload" href="(.+?)"/g)].map(([, url]) => url ?? '');
  assert.deepEqual((await named('/review')).sort(), [
    '/assets/lit-html/lit-html.js',
    ...['api', 'label-picker', 'outbox', 'review-view', 'words'].map((module) => `/pages/${module}.js`),
  ]);
  const overview = await named('/');
  assert.ok(overview.includes('/assets/uplot/uPlot.esm.js'));
  for (const url of overview) assert.equal((await app.inject(url)).statusCode, 200, url);
});
