import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { it } from 'node:test';
import fastify from 'fastify';
import { pageRoutes } from '../../http/pages.ts';

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
  assert.ok(
    (await named('/conversations')).includes('/assets/lit-html/directive.js'),
    'a library that imports another',
  );
  const overview = await named('/');
  assert.ok(overview.includes('/assets/uplot/uPlot.esm.js'));
  for (const url of overview) assert.equal((await app.inject(url)).statusCode, 200, url);
});

it('shows every text of a user in its own direction', async () => {
  const folder = path.join(import.meta.dirname, '..', '..', 'http', 'pages');
  for (const file of (await readdir(folder)).filter((name) => name.endsWith('.js')))
    for (const [tag] of (await readFile(path.join(folder, file), 'utf8')).matchAll(/<[^<>]* lang=\$\{[^<>]*>/g))
      assert.match(tag, / dir="auto"/, file);
});
