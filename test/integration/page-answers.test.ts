import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { createServer } from '../../http/server.ts';
import type { ServerOptions } from '../../http/server.ts';
import { defaultPolicy } from '../../policy/routing.ts';

/** What the API answers here, by path and query: JSON, or how it fails. */
type Answers = Record<string, unknown>;

const AWAY = { status: 503, json: { status: 503, detail: 'Postgres is away.' } };

const ARABIC = 'أين طلبي؟';
const turn = {
  ...{ conversation_id: 'c-1', user_message: ARABIC, language: 'ar', nlu_intent: 'track_order', nlu_module: 'food' },
  ...{ nlu_confidence: 0.9, route: 'auto-approved', review_status: 'auto-approved' },
  created_at: '2026-10-05T00:00:00Z',
};

describe('the pages in Chromium, with answers that are rare', { timeout: 120_000 }, () => {
  const app = createServer({ tokens: [] } as unknown as ServerOptions);
  let url: string;
  let browser: Browser;

  before(async () => {
    url = await app.listen({ port: 0, host: '127.0.0.1' });
    browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-dev-shm-usage'],
    });
  });
  after(async () => {
    await browser.close();
    await app.close();
  });

  /** A page whose questions are answered from `answers`, which may change; one that is not there has no answer at all. */
  async function open(path: string, answers: Answers, timezoneId = 'Asia/Kolkata'): Promise<Page> {
    const page = await (await browser.newContext({ timezoneId })).newPage();
    page.setDefaultTimeout(20_000);
    await page.route('**/v1/**', async (route) => {
      const asked = new URL(route.request().url());
      const answer = answers[asked.pathname + asked.search];
      if (asked.pathname === '/v1/session') return route.continue();
      if (answer === undefined) return; // as where packets are dropped
      return answer === AWAY ? route.fulfill(AWAY) : route.fulfill({ json: answer });
    });
    await page.goto(url + path);
    return page;
  }
  /** The directions of the elements of this name whose text is Arabic. */
  const directions = (page: Page, element: string) =>
    page.evaluate<string[]>(
      `[...document.querySelectorAll('${element}')].filter((one) => one.textContent.trim() === '${ARABIC}')
        .map((one) => getComputedStyle(one).direction)`,
    );

  it('a dashboard that is opened while a server is away says so, and gets its figures when it is back', async () => {
    const figures = {
      '/v1/overview': { routing: [], confidence: [] },
      '/v1/models': [],
      '/v1/deployments?limit=1': [],
      '/v1/training-runs': [{ run_id: 'run-1', status: 'failed', verdict: 'promote', finished_at: turn.created_at }],
      '/v1/kpis': { kpis: [] },
    };
    const answers: Answers = {};
    answers['/v1/topology'] = { topics: [], processors: [], projections: [], services: [] };
    const page = await open('/', answers);
    await page
      .locator('#away', { hasText: 'Key figures, models and charts can not be read: The server does not answer.' })
      .waitFor({ timeout: 40_000 });
    for (const path of Object.keys(figures)) answers[path] = AWAY;
    await page
      .locator('#away', { hasText: 'Key figures, models and charts can not be read: Postgres is away.' })
      .waitFor();
    assert.equal(await page.getByText('No version gets traffic.').count(), 0, 'nobody knows that yet');
    Object.assign(answers, figures);
    await page.getByText('No version gets traffic.').waitFor();
    await page.locator('li', { hasText: 'run-1' }).getByText('failed').waitFor();
    await page.context().close();
  });

  it('only the policy whose effect is on the page can be adopted', async () => {
    const [policy, adopted_at] = [{ ...defaultPolicy, version: 'strict' }, '2026-10-05T00:00:00Z'];
    const none = { conversations: 0, hours: 0, auto_approved: 0, expected: null };
    const page = await open('/settings', {
      '/v1/policies': [{ policy, adopted_at, adopted_by: null, reason: 'the first' }],
      '/v1/policies/what-if': {
        ...{
          policy: 'strict-2',
          conversations: 1,
          review: { before: none, after: none },
          wrong: { before: none, after: { auto_approved: 9, unknown: 6, expected: 1, interval: [0, 2], judged: 3 } },
        },
        transitions: [{ from: 'needs_review', to: 'auto_approved', conversations: 1, examples: [turn] }],
      },
    });
    const adopt = page.getByRole('button', { name: 'Adopt it' });
    const draft = page.getByLabel('The policy as JSON');
    const first = await draft.inputValue();
    assert.match(first, /"version": "strict-2"/);
    assert.equal(await adopt.isEnabled(), false);
    await page.getByRole('button', { name: 'See its effect' }).click();
    await page.getByText('What strict-2 would have done').waitFor();
    await page.getByRole('row', { name: 'wrong, expected' }).getByText('of 6 nothing is known').waitFor();
    assert.equal(await adopt.isEnabled(), true);
    await draft.fill(first.replace('0.85', '0.99'));
    assert.equal(await adopt.isEnabled(), false, 'nobody has seen the effect of 0.99');
    await draft.fill(first);
    assert.equal(await adopt.isEnabled(), true);
    assert.deepEqual(await directions(page, 'span'), ['rtl']);
    await page.context().close();
  });

  it('the form says what the list shows when one goes back', async () => {
    const page = await open('/conversations', {
      '/v1/conversations': [turn],
      '/v1/conversations?route=needs-review': [{ ...turn, route: 'needs-review' }],
      '/v1/conversations?route=priority-review': [],
    });
    const route = page.getByLabel('Route');
    await route.selectOption('needs-review');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('cell', { name: 'needs-review' }).waitFor();
    await route.selectOption('priority-review'); // and not asked for
    await page.getByLabel('Intent').fill('track');
    await page.goBack();
    await page.getByRole('cell', { name: 'auto-approved' }).first().waitFor();
    assert.deepEqual([await route.inputValue(), await page.getByLabel('Intent').inputValue()], ['', '']);
    await page.goForward();
    await page.getByRole('cell', { name: 'needs-review' }).waitFor();
    assert.equal(await route.inputValue(), 'needs-review');
    assert.deepEqual(await directions(page, 'td'), ['rtl']);
    await page.context().close();
  });

  it('a timeline is in the order of time, and texts keep their own direction', async () => {
    const [captured, trained, reviewed] = [
      '2026-10-05T00:00:00.000Z',
      '2026-10-06T00:00:00.000Z',
      '2026-10-07T00:00:00.000Z',
    ];
    const label = { intent: 'طلب', module: 'food' };
    const page = await open('/conversations?id=c-1', {
      '/v1/conversations/c-1': {
        ...turn,
        entities: [{ name: 'مدينة', value: 'دبي' }],
        timeline: [
          { at: captured, what: 'captured', ...label, confidence: 0.9, provider: 'llm', model_version: null },
          { at: captured, what: 'sample approved', ...label, source: 'auto', reviewer: null },
          { at: reviewed, what: 'reviewed', review: { verdict: 'skip', reviewer: 'asha', corrected_intent: null } },
        ],
        trained: [{ at: trained, version: 'router-v1.0.0' }],
      },
    });
    await page.getByText('has learned from its sample').waitFor();
    const steps = page.locator('.timeline strong');
    assert.deepEqual(await steps.allTextContents(), [
      'Captured',
      'Became a sample',
      'Trained a version',
      'Reviewed: skipped',
    ]);
    assert.deepEqual(await directions(page, 'h2'), ['rtl']);
    assert.deepEqual(await page.locator('bdi').allTextContents(), ['مدينة', 'دبي', 'food / طلب', 'food / طلب', 'asha']);
    await page.context().close();
  });

  it('a label that was just given is in the list although the server has kept one without it', async () => {
    const item = (id: string) => ({
      ...{ ...turn, conversation_id: id, model_version: null, route: null, reasons: [], entities: [] },
      ...{ runners_up: [], suggestions: [], group: [], similar: [] },
    });
    const page = await open('/review', {
      '/v1/review-queue/next': {
        ...{ reviewer: 'asha', items: [item('c-1'), item('c-2'), item('c-3')], waiting: 3, modules: [], languages: [] },
        ...{ routes: [], progress: { mine: 0, everyone: 0, median_ms: null } },
      },
      '/v1/review-queue/answers': { accepted: 1, ids: [] },
      '/v1/labels': [{ module: 'food', intent: 'track_order', conversations: 9 }],
    });
    await page.getByLabel('Your name').fill('asha');
    await page.getByRole('button', { name: 'Begin' }).click();
    const search = page.getByRole('combobox', { name: 'The right label' });
    const sent: unknown[] = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/v1/review-queue/answers')) sent.push(request.postDataJSON());
    });
    for (const [id, shown] of [
      ['c-1', 'new label'],
      ['c-2', '1'],
      ['c-3', '1'],
    ] as const) {
      await page.locator(`[data-id="${id}"]`).waitFor();
      await page.keyboard.press('c');
      await search.fill('food / brand_new');
      await page.getByRole('option', { name: 'brand_new' }).waitFor();
      assert.equal(await page.getByRole('option', { name: 'brand_new' }).locator('.small').textContent(), shown, id);
      await search.press('Enter');
    }
    for (const end = Date.now() + 30_000; sent.length < 3 && Date.now() < end;) await page.waitForTimeout(20);
    // The server may not have heard of the first when the second comes.
    assert.deepEqual(
      sent.map((body) => (body as { new_label?: boolean }).new_label),
      [true, true, true],
    );
    await page.context().close();
  });

  it('a version that was registered names its data set without a link, which would lead nowhere', async () => {
    const sha256 = 'a'.repeat(64);
    const model = { version: 'router-v9', status: 'shadow', reasons: [], report_sha256: null };
    const sample = {
      ...{ conversation_id: 'c-1', text: ARABIC, language: 'ar', module: 'food' },
      intent: 'track_order',
    };
    const lineage = {
      ...{ parent_version: null, run: null, data_set: { sha256, training_samples: 1 }, samples: [sample] },
      standing_today: { by_people: 1, automatic: 0 },
    };
    const page = await open('/models?version=router-v9', {
      '/v1/models/router-v9': model,
      '/v1/models/router-v9/lineage?limit=20': lineage,
    });
    await page.getByText(sha256).waitFor();
    assert.equal(await page.locator('a[href^="/data-sets?"]').count(), 0);
    assert.deepEqual(await directions(page, 'td'), ['rtl']);
    await page.context().close();
  });

  it('the chart of routing has the days of UTC, also west of it', async () => {
    const day = Date.UTC(2026, 9, 5) / 1000;
    const routing = [0, 1, 2, 3, 4].map((i) => ({
      ...{ at: day + 86_400 * i, auto_approved: 5, needs_review: 1, priority_review: 0 },
    }));
    const page = await open('/data-sets', {}, 'America/New_York');
    const shown = await page.evaluate<string[]>(`(async () => {
      const { draw } = await import('/pages/chart.js');
      const texts = [];
      const fillText = CanvasRenderingContext2D.prototype.fillText;
      CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
        texts.push(text);
        return fillText.call(this, text, ...place);
      };
      const place = document.body.appendChild(document.createElement('div'));
      const rows = ${JSON.stringify(routing)};
      draw(place, { data: [rows.map(({ at }) => at), rows.map((row) => row.auto_approved)], time: true, series: [{ label: 'a', colour: 'auto' }] });
      await new Promise((resolve) => setTimeout(resolve, 100));
      return texts.filter((text) => / Oct$/.test(text));
    })()`);
    assert.deepEqual([shown[0], shown.at(-1)], ['5 Oct', '9 Oct']);
    await page.context().close();
  });
});
