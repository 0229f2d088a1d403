import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { startComponents } from '../../app/components.ts';
import type { RunningComponents } from '../../app/components.ts';
import { producerOptions } from '../../app/environment.ts';
import { startHttp } from '../../app/http.ts';
import type { RunningHttp } from '../../app/http.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { onStandBy } from '../../app/stand-by.ts';
import { pages } from '../../http/pages.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { call, connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { topicEnds } from '../../runtime/read-topic.ts';
import { topics } from '../../topology.ts';
import { conversation } from '../fixtures.ts';
import { registerReported } from './reported-version.ts';
import { endAll, startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const COUNT = 3000;
const PER_SECOND = 500;
const VERSION = 'router-v1.1.0';

/** The violations that axe found. */
type Found = readonly { readonly id: string; readonly nodes: readonly { readonly html: string }[] }[];

describe('the pages in Chromium', () => {
  let stack: Stack;
  let components: RunningComponents;
  let http: RunningHttp;
  let browser: Browser;
  let axe: string;
  /** The query of the page of a dead letter. */
  let letter: string;
  /** The hash of the data set of `VERSION`. */
  let sha256: string;
  /** What a page must not do: errors in its console, requests to other hosts. */
  const complaints: string[] = [];

  before(async () => {
    axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    stack = await startStack();
    const { prepared } = stack;
    components = await startComponents(['all'], prepared);
    const config = { ...prepared.config, http: { host: '127.0.0.1', port: 0 } };
    http = await startHttp({ ...prepared, config }, components);
    browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-dev-shm-usage'],
    });
  });
  after(() =>
    endAll(
      () => browser.close(),
      () => http.stop(),
      () => components.stop(),
      () => stack.stop(),
    ),
  );

  /** A page that records every complaint. `bypassCSP` allows axe; everything else runs under the policy. */
  async function open(path: string, options: { dark?: boolean; width?: number; forAxe?: boolean } = {}): Promise<Page> {
    const context = await browser.newContext({
      colorScheme: options.dark === true ? 'dark' : 'light',
      viewport: { width: options.width ?? 1280, height: 900 },
      bypassCSP: options.forAxe === true,
    });
    const page = await context.newPage();
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(`${path}: ${message.text()}`);
    });
    page.on('pageerror', (error) => complaints.push(`${path}: ${error.message}`));
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (!['data:', 'blob:'].includes(url.protocol) && url.origin !== http.url)
        complaints.push(`${path}: asks ${url.origin}`);
    });
    await page.goto(http.url + path);
    return page;
  }

  const figure = (page: Page, label: string) => page.locator(`[data-figure="${label}"]`).textContent();

  it('the dashboard follows live traffic, and its figures match SQL', { timeout: 180_000 }, async () => {
    const { prepared } = stack;
    const page = await open('/');
    await page.waitForSelector('[data-figure="Conversations"]');
    const producer = await createConversationProducer(producerOptions(prepared));
    let moved = false;
    for (let sent = 0; sent < COUNT; sent += PER_SECOND / 5) {
      await Promise.all(
        Array.from({ length: PER_SECOND / 5 }, (_, i) =>
          producer.captureConversation({
            conversation_id: `page-${String(sent + i)}`,
            user_message: 'where is my order?',
            language: 'en',
            nlu_intent: 'track_order',
            nlu_module: 'food',
            nlu_confidence: ((sent + i) % 100) / 100,
            nlu_provider: 'indicbert',
            created_at: new Date(Date.now() - 1000).toISOString(),
          }),
        ),
      );
      await sleep(200);
      moved ||= !/^0 a second/.test(
        (await page.locator('.tile').first().locator('.quiet').textContent()) ?? '0 a second',
      );
    }
    await producer.close();
    await untilCaughtUp(prepared.servers, prepared.pool);
    assert.ok(moved, 'the rate on the page stayed 0 while traffic came');
    const { rows } = await prepared.pool.query<{ all: string; waiting: string; samples: string }>(
      `SELECT (SELECT count(*) FROM conversation_logs) AS all, (SELECT count(*) FROM review_queue WHERE answered_by = '[]') AS waiting,
              (SELECT count(*) FROM training_samples WHERE review_status = 'approved') AS samples`,
    );
    const { all = '', waiting = '', samples = '' } = rows[0] ?? {};
    assert.equal(Number(all), COUNT);
    const shown = async () =>
      (
        await Promise.all(
          ['Conversations', 'Waiting for a person', 'Approved samples', 'Records behind', 'Dead letters'].map((label) =>
            figure(page, label),
          ),
        )
      ).map((text) => Number(text?.replaceAll(',', '')));
    const expected = [all, waiting, samples, 0, 0].map(Number);
    for (const deadline = Date.now() + 30_000; String(await shown()) !== String(expected); await sleep(250))
      assert.ok(Date.now() < deadline, `the page shows ${String(await shown())}, SQL says ${String(expected)}`);
    await page.reload();
    await page.waitForSelector('#routing canvas');
    const { rows: spread } = await prepared.pool.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM conversation_logs GROUP BY least(floor(nlu_confidence * 20), 19) ORDER BY least(floor(nlu_confidence * 20), 19)',
    );
    // An answer is kept for a multiple of the time that it took.
    const histogram = async () =>
      ((await (await fetch(`${http.url}/v1/overview`)).json()) as { confidence: number[] }).confidence;
    const counted = spread.map(({ n }) => n);
    for (const deadline = Date.now() + 30_000; String(await histogram()) !== String(counted); await sleep(250))
      assert.ok(Date.now() < deadline, `the histogram is ${String(await histogram())}, SQL says ${String(counted)}`);
    await page.context().close();
  });

  it('the charts follow the width of the window and the colour scheme', { timeout: 60_000 }, async () => {
    const page = await open('/');
    const chart = page.locator('#routing canvas');
    await chart.waitFor();
    const width = async () => Math.round((await chart.boundingBox())?.width ?? 0);
    const place = page.locator('#routing'); // its canvas is another one after each change
    const [wide, light] = [await width(), await place.screenshot()];
    const until = async (what: string, holds: () => Promise<boolean>) => {
      for (const deadline = Date.now() + 10_000; !(await holds()); await sleep(100))
        assert.ok(Date.now() < deadline, `${what}; the chart is ${await width()} wide, at first ${wide}`);
    };
    await page.setViewportSize({ width: 390, height: 844 });
    await until('it did not become smaller', async () => (await width()) < wide);
    await page.setViewportSize({ width: 1280, height: 900 });
    await until('it did not become as large again', async () => (await width()) === wide);
    assert.equal(await page.locator('#routing canvas').count(), 1);
    await page.emulateMedia({ colorScheme: 'dark' });
    await until('it is as light as before', async () => !(await place.screenshot()).equals(light));
    await page.context().close();
  });

  it('a model shows what it fixed and broke, what it confuses, and its whole report', { timeout: 60_000 }, async () => {
    const { prepared } = stack;
    const { report, manifest } = await registerReported(prepared, VERSION);
    sha256 = manifest.sha256;
    await untilCaughtUp(prepared.servers, prepared.pool);
    const page = await open(`/models?version=${VERSION}`);
    const text = async (name: string) => (await page.getByRole('region', { name }).innerText()).replaceAll(/\s+/g, ' ');
    await page.getByText('11 fixed: wrong in production, right here').click();
    assert.match(
      await text('fixed: wrong in production, right here'),
      /message 1 food\/cancel_order food\/refund_status/,
    );
    assert.equal(await page.getByText('4 broken: right in production, wrong here').count(), 1);
    // Of the intents in turn, every twelfth row was predicted as the next intent.
    assert.match(await text('Confusions'), /food\/track_order food\/cancel_order 5$/);
    for (const [language, { rows, accuracy }] of Object.entries(report.evaluation.byLanguage))
      assert.match(
        await text('Accuracy by language'),
        new RegExp(`${language} ${rows} ${(100 * accuracy).toFixed(1)} %`),
      );
    await page.getByText('curves, calibration and the whole matrix').click();
    await page.getByRole('heading', { name: `Training report ${VERSION}` }).waitFor();
    const colour = await page.evaluate<string>('getComputedStyle(document.querySelector(".verdict")).borderLeftColor');
    assert.equal(colour, 'rgb(191, 135, 0)', 'the report came without its styles');
    await page.context().close();
  });

  it('versions say why a rollout does not advance or does not begin', { timeout: 60_000 }, async () => {
    const page = await browser.newPage();
    const [none, doubt] = ['It waits: router-v1.8.0 is on trial.', 'Each version needs 50 labels.'];
    await page.route('**/v1/models', async (route) => {
      const [first] = (await (await route.fetch()).json()) as object[];
      const judged = {
        verdict: 'inconclusive',
        reasons: [doubt],
        traffic_percentage: 10,
        labels: 12,
        at: '2026-10-05',
      };
      const versions = [
        { ...first, version: 'router-v1.9.0', no_trial: none },
        { ...first, version: 'router-v1.8.0', status: 'canary', judged, no_trial: null },
        { ...first, no_trial: null },
      ];
      await route.fulfill({ json: versions });
    });
    await page.goto(`${http.url}/models`);
    await page.getByText(`router-v1.9.0: ${none}`).waitFor();
    const held = await page.locator('p', { hasText: /^router-v1\.8\.0/ }).innerText();
    assert.match(held, /^router-v1\.8\.0: inconclusive at 10 % with 12 labels, 5 Oct 2026.* needs 50 labels\.$/);
    await page.context().close();
  });

  it("a report that can't be read is not shown as missing", { timeout: 60_000 }, async () => {
    const page = await browser.newPage();
    const path = `/v1/models/${VERSION}/report`;
    const detail = 'The database does not answer; try again soon.';
    await page.route(`**${path}`, (route) => route.fulfill({ status: 503, json: { status: 503, detail } }));
    await page.goto(`${http.url}/models?version=${VERSION}`);
    await page.getByRole('alert').getByText(detail).waitFor();
    await page.unrouteAll();
    await page.route(`**${path}`, (route) =>
      route.fulfill({ status: 404, json: { status: 404, detail: 'Elsewhere.' } }),
    );
    await page.reload();
    await page.getByText('or its file is on another machine').waitFor();
    await page.context().close();
  });

  it('a version leads to its data set and back, and the figures of both match SQL', { timeout: 60_000 }, async () => {
    const { prepared } = stack;
    const page = await open(`/models?version=${VERSION}`);
    const sql = async (text: string) => (await prepared.pool.query<{ n: number }>(text)).rows[0]?.n ?? NaN;
    const samples = await sql('SELECT count(*)::int AS n FROM training_samples');
    await page.locator('a[href^="/data-sets?"]').click();
    await page.getByRole('heading', { name: `${samples.toLocaleString('en-IN')} samples` }).waitFor();
    assert.match(
      await page.getByRole('region', { name: 'Samples by intent' }).innerText(),
      new RegExp(`food/track_order\\s+${samples}`),
    );
    const { rows } = await prepared.pool.query<{ partition: number }>(
      'SELECT DISTINCT log_partition AS partition FROM training_sample_rows ORDER BY 1',
    );
    const shown = (await page.getByRole('region', { name: 'Offsets' }).innerText())
      .match(/\d[\d,]*/g)
      ?.map((n) => Number(n.replaceAll(',', '')));
    // A range goes up to the end of the partition, where the marker of the last transaction is.
    const ends = await topicEnds(prepared.servers.kafka, topics.trainingSamples.name);
    assert.deepEqual(
      shown,
      rows.flatMap(({ partition }) => [partition, 0, ends.get(partition)]),
    );
    await page.getByRole('link', { name: VERSION }).click();
    await page.getByRole('heading', { name: VERSION }).waitFor();
    const id = await prepared.pool.query<{ id: string }>('SELECT conversation_id AS id FROM training_samples LIMIT 1');
    await page.goto(`${http.url}/conversations?id=${id.rows[0]?.id ?? ''}`);
    await page.getByText(`${VERSION} was trained on its sample`).waitFor();
    await page.goto(`${http.url}/data-sets`);
    assert.equal(Number(await figure(page, 'Approved samples')), samples);
    assert.equal(
      Number(await figure(page, 'Unused')),
      await sql('SELECT count(*)::int AS n FROM training_samples WHERE model_version_target IS NULL'),
    );
    assert.match((await figure(page, 'Towards the next run')) ?? '', /^\s*0 of 1,000\s*$/);
    await page.context().close();
  });

  it('a dead letter is corrected on its page; a wrong edit is explained and kept', { timeout: 60_000 }, async () => {
    const { prepared } = stack;
    const { servers, pool } = prepared;
    const producer = await connectProducer(librdkafkaConfig(servers.kafka, 'test'));
    const bad = { ...conversation({}), conversation_id: 'letter-1', language: '?' };
    producer.produce(topics.conversations.name, null, prepared.codecs.of(topics.conversations).encode(bad), 'letter-1');
    await call('sending', (done) => producer.flush(10_000, (error) => done(error, undefined)));
    await disconnect(producer);
    await untilCaughtUp(servers, pool);
    const page = await open('/dead-letters');
    await page.getByRole('link', { name: /"\?" is not a BCP 47 tag/ }).click();
    const editor = page.getByLabel('The record, as the API takes it');
    const draft = await editor.inputValue();
    letter = new URL(page.url()).search;
    await editor.fill(draft.replace('"?"', '"??"'));
    await page.getByRole('button', { name: 'Send corrected' }).click();
    await page.getByRole('listitem').getByText('"??" is not a BCP 47 tag').waitFor();
    assert.match(await editor.inputValue(), /"\?\?"/);
    // The browser itself logs the refused request; nothing else may be in the console.
    assert.match(complaints.pop() ?? '', /status of 400/);
    await editor.fill(draft.replace('"?"', '"hi"'));
    await page.getByRole('button', { name: 'Send corrected' }).click();
    await page.getByText('sent again').first().waitFor();
    await untilCaughtUp(servers, pool);
    await page.goto(`${http.url}/conversations?id=letter-1`);
    await page.getByText('Timeline').waitFor();
    await page.context().close();
  });

  it('every page is accessible, light and dark, wide and on a phone', { timeout: 300_000 }, async () => {
    const details = [
      `/dead-letters${letter}`,
      `/models?version=${VERSION}`,
      '/models?version=router-v1.0.0',
      `/data-sets?sha256=${sha256}`,
      '/conversations?id=page-1',
      '/conversations?q=nothing-is-like-this',
      `/v1/models/${VERSION}/report.html`,
    ];
    for (const path of [...pages.map((page) => page.path), '/sign-in', ...details]) {
      // Contrast depends on the colours and layout on the width, so two looks cover all four combinations.
      for (const look of [{ dark: false }, { dark: true, width: 390 }]) {
        const page = await open(path, { ...look, forAxe: true });
        await page.waitForFunction('!document.querySelector("#page > p.quiet:only-child")');
        await page.evaluate(axe);
        const found = await page.evaluate<Found>('axe.run().then(({ violations }) => violations)');
        const told = found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
        assert.deepEqual(told, [], `${path} ${JSON.stringify(look)}`);
        const width = await page.evaluate<number>('document.documentElement.scrollWidth');
        assert.ok(width <= (look.width ?? 1280), `${path} is ${String(width)} wide on ${JSON.stringify(look)}`);
        await page.context().close();
      }
    }
  });

  it('the dashboard recovers by itself after the server was away', { timeout: 120_000 }, async () => {
    const { prepared } = stack;
    const page = await browser.newPage();
    const conversations = async () => Number((await figure(page, 'Conversations'))?.replaceAll(',', ''));
    await page.goto(`${http.url}/`);
    await page.waitForSelector('[data-figure="Conversations"]');
    const last = await conversations();
    await http.stop();
    await page.locator('#away', { hasText: 'The server sends no figures at the moment' }).waitFor();
    assert.equal(await conversations(), last, 'the last figures stay');
    // As after a restart: it listens, but still waits for the servers behind it.
    let begin: () => void = () => undefined;
    const ready = new Promise<void>((resolve) => (begin = resolve));
    const config = { ...prepared.config, http: { host: '127.0.0.1', port: Number(new URL(http.url).port) } };
    const standBy = onStandBy({ ...prepared, config });
    const refused = page.waitForResponse((answer) => answer.url().endsWith('/v1/live') && answer.status() === 503);
    http = await startHttp({ ...standBy, prepared: ready.then(() => standBy.prepared) }, components);
    await refused;
    await fetch(`${http.url}/v1/conversations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        ...{ conversation_id: 'after-away', user_message: 'where is my order?', language: 'en' },
        ...{ nlu_intent: 'track_order', nlu_module: 'food', nlu_confidence: 0.95, nlu_provider: 'indicbert' },
        created_at: new Date().toISOString(),
      }),
    });
    begin();
    await page.locator('[data-figure="Conversations"]', { hasText: (last + 1).toLocaleString('en-IN') }).waitFor();
    await page.locator('#away').waitFor({ state: 'detached' });
    await page.context().close();
  });

  it("the dashboard says which figures are old when only those can't be read", { timeout: 60_000 }, async () => {
    const page = await browser.newPage();
    await page.goto(`${http.url}/`);
    await page.waitForSelector('[data-figure="Conversations"]');
    await page.route('**/v1/kpis', (route) =>
      route.fulfill({ status: 502, contentType: 'text/html', body: '<h1>Bad Gateway</h1>' }),
    );
    await page.getByText('The key figures could not be updated: The answer was 502 Bad Gateway').waitFor();
    await page.unrouteAll();
    await page.locator('#away').waitFor({ state: 'detached' });
    await page.context().close();
  });

  it('a refusal by a proxy is shown as a sentence', { timeout: 60_000 }, async () => {
    const page = await browser.newPage();
    const alert = page.getByRole('alert');
    await page.route('**/v1/dead-letters', (route) =>
      route.fulfill({ status: 502, contentType: 'text/html', body: '<h1>Bad Gateway</h1>' }),
    );
    await page.goto(`${http.url}/dead-letters`);
    await alert.getByText('The answer was 502 Bad Gateway, without a readable reason').waitFor();
    await page.context().close();
  });

  it('the description of the API renders under its own policy', { timeout: 60_000 }, async () => {
    const page = await open('/docs');
    await page.waitForSelector('.opblock');
    assert.match((await page.locator('#swagger-ui').textContent()) ?? '', /POST\/v1\/policies\/what-if/);
    await page.context().close();
  });

  it('no page logged an error or made a request to another host', () => {
    assert.deepEqual(complaints, []);
  });
});
