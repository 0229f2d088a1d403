import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chromium } from 'playwright-core';
import type { Browser, Page, Request } from 'playwright-core';
import { createServer } from '../../http/server.ts';
import type { ServerOptions } from '../../http/server.ts';
import { defaultPolicy } from '../../policy/routing.ts';

/** The answers of the API by path and query: JSON, or a failure. */
type Answers = Record<string, unknown>;

const AWAY = { status: 503, json: { status: 503, detail: 'Postgres is away.' } };

const NEXT = '/v1/review-queue/next';
/** Simulates that the page comes out of the browser's back/forward cache. */
const LOOK_AGAIN = "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))";
const ANSWERS = '/v1/review-queue/answers';

const ARABIC = 'أين طلبي؟';
const turn = {
  ...{ conversation_id: 'c-1', user_message: ARABIC, language: 'ar', nlu_intent: 'track_order', nlu_module: 'food' },
  ...{ nlu_confidence: 0.9, route: 'auto-approved', review_status: 'auto-approved' },
  created_at: '2026-10-05T00:00:00Z',
};

describe('the pages in Chromium, with rare answers', { timeout: 240_000 }, () => {
  // A closing page releases its waiting requests, and those of the dashboard reach this server.
  const live = () => Promise.reject(new Error('not asked'));
  const app = createServer({ tokens: [], live } as unknown as ServerOptions);
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

  /** A page whose requests are answered from `answers`, which may change; a request that is not in it gets no answer. */
  async function open(path: string, answers: Answers, timezoneId = 'Asia/Kolkata'): Promise<Page> {
    const page = await (await browser.newContext({ timezoneId })).newPage();
    page.setDefaultTimeout(20_000);
    await page.route('**/v1/**', async (route) => {
      const asked = new URL(route.request().url());
      const answer = answers[asked.pathname + asked.search];
      if (answer === undefined && asked.pathname === '/v1/session') return route.continue();
      if (answer === undefined) return; // as when packets are dropped
      return answer === AWAY ? route.fulfill(AWAY) : route.fulfill({ json: answer });
    });
    await page.goto(url + path);
    return page;
  }
  /** An item of the review page. */
  const item = (id: string) => ({
    ...{ ...turn, conversation_id: id, model_version: null, route: null, reasons: [], entities: [] },
    ...{ runners_up: [], suggestions: [], group: [] as object[], similar: [] },
  });
  const lent = (...ids: readonly string[]) => ({
    ...{ reviewer: 'asha', items: ids.map(item), waiting: ids.length, modules: [], languages: [] },
    ...{ routes: [], progress: { mine: 0, everyone: 0, median_ms: null } },
  });
  /** The review page of asha, who holds the items of `first` until `answers` changes. */
  async function openReview(first = lent('c-1', 'c-2', 'c-3')): Promise<{ page: Page; answers: Answers }> {
    const answers: Answers = {
      [NEXT]: first,
      [ANSWERS]: { accepted: 1, ids: [] },
      '/v1/labels': [{ module: 'food', intent: 'track_order', conversations: 9 }],
    };
    const page = await open('/review', answers);
    await page.getByLabel('Your name').fill('asha');
    await page.getByRole('button', { name: 'Begin' }).click();
    return { page, answers };
  }
  const shown = (page: Page, id: string) => page.locator(`.task[data-id="${id}"]`).waitFor();

  /** The text directions of elements with this name that hold the Arabic text. */
  const directions = (page: Page, element: string) =>
    page.evaluate<string[]>(
      `[...document.querySelectorAll('${element}')].filter((one) => one.textContent.trim() === '${ARABIC}')
        .map((one) => getComputedStyle(one).direction)`,
    );

  it('the sign-in leads to a page of this server, however the address is spelled', async () => {
    const page = await open('/sign-in?to=%2Fconversations%3Fq%3Drefund', {});
    await page.waitForURL(`${url}/conversations?q=refund`);
    for (const to of [
      '/.//evil.example/x',
      '/..//evil.example/x',
      './/evil.example',
      '/%2e//evil.example',
      '//evil.example',
    ]) {
      await page.goto(`${url}/sign-in?to=${encodeURIComponent(to)}`);
      await page.waitForURL(({ pathname }) => pathname !== '/sign-in');
      assert.equal(new URL(page.url()).origin, url, to);
    }
    await page.context().close();
  });

  it('the sign-in says that a token opens no page, and offers to sign out', async () => {
    const nobody = { needed: true, name: null, roles: [] };
    const answers: Answers = { '/v1/session': nobody };
    const page = await open('/sign-in', answers);
    await page.getByLabel('Token').fill('of the gateway');
    answers['/v1/session'] = { needed: true, name: 'gateway', roles: ['ingest'] };
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The token gateway is for sending data only, and opens no page.').waitFor();
    answers['/v1/session'] = nobody;
    const opened = page.waitForResponse((one) => one.url().endsWith('/session') && one.request().method() === 'GET');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await opened;
    answers['/v1/session'] = { needed: true, name: 'asha', roles: ['review'] };
    await page.getByLabel('Token').fill('of asha');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL(`${url}/`);
    await page.context().close();
  });

  it('a hidden dashboard keeps no connection to the server, and gets its figures when it is shown again', async () => {
    const page = await open('/', { '/v1/topology': { topics: [], processors: [], projections: [], services: [] } });
    const turn = (hidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${String(hidden)}, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'))`);
    const ofFigures = (request: Request) => request.url().endsWith('/v1/live');
    await page.waitForRequest(ofFigures);
    await Promise.all([page.waitForEvent('requestfailed', ofFigures), turn(true)]);
    await Promise.all([page.waitForRequest(ofFigures), turn(false)]);
    await page.context().close();
  });

  it('after a sign-out, going back shows nothing that was read before', async () => {
    const answers: Answers = { '/v1/conversations': [turn] };
    const page = await open('/conversations', answers);
    await page.getByRole('cell', { name: ARABIC }).waitFor();
    answers['/v1/conversations'] = [];
    await page.evaluate(LOOK_AGAIN);
    await page.getByText('No conversations yet.').waitFor();
    await page.context().close();
  });

  it('a slow answer to an older search is not shown', async () => {
    const page = await open('/conversations', {
      '/v1/conversations': [turn],
      '/v1/conversations?nlu_intent=second': [{ ...turn, nlu_intent: 'second' }],
    });
    let answerSlowly: () => void = () => undefined;
    let answered = Promise.resolve();
    await page.route('**/v1/conversations?nlu_intent=first', (route) => {
      answered = new Promise<void>((resolve) => (answerSlowly = resolve)).then(() => route.fulfill({ json: [] }));
    });
    const search = async (intent: string) => {
      const asked = page.waitForRequest(`**/v1/conversations?nlu_intent=${intent}`);
      await page.getByLabel('Intent').fill(intent);
      await page.getByRole('button', { name: 'Search' }).click();
      await asked;
    };
    await search('first');
    await search('second');
    await page.getByRole('cell', { name: 'food / second' }).waitFor();
    answerSlowly();
    await answered;
    await page.waitForTimeout(200);
    assert.equal(await page.getByRole('cell', { name: 'food / second' }).count(), 1);
    await page.context().close();
  });

  it('a dashboard that is opened while a server is away says so, and gets its figures when the server is back', async () => {
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
      .locator('#away', { hasText: 'Key figures, models and charts could not be read: The server does not answer.' })
      .waitFor({ timeout: 40_000 });
    for (const path of Object.keys(figures)) answers[path] = AWAY;
    await page
      .locator('#away', { hasText: 'Key figures, models and charts could not be read: Postgres is away.' })
      .waitFor();
    assert.equal(await page.getByText('No version gets traffic.').count(), 0, 'that is not known yet');
    Object.assign(answers, figures);
    await page.getByText('No version gets traffic.').waitFor();
    await page.locator('li', { hasText: 'run-1' }).getByText('failed').waitFor();
    await page.context().close();
  });

  it('only the policy whose effect is shown can be adopted', async () => {
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
    await page.getByRole('row', { name: 'wrong, expected' }).getByText('6 not estimated').waitFor();
    assert.equal(await adopt.isEnabled(), true);
    await draft.fill(first.replace('0.85', '0.99'));
    assert.equal(await adopt.isEnabled(), false, 'the effect of 0.99 was not shown');
    await draft.fill(first);
    assert.equal(await adopt.isEnabled(), true);
    assert.deepEqual(await directions(page, 'span'), ['rtl']);
    await page.context().close();
  });

  it('the form matches the list after going back', async () => {
    const page = await open('/conversations', {
      '/v1/conversations': [turn],
      '/v1/conversations?route=needs-review': [{ ...turn, route: 'needs-review' }],
      '/v1/conversations?route=priority-review': [],
    });
    const route = page.getByLabel('Route');
    await route.selectOption('needs-review');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('cell', { name: 'needs-review' }).waitFor();
    await route.selectOption('priority-review'); // without a search
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

  it('a timeline is in order of time, and texts keep their own direction', async () => {
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
    await page.getByText('was trained on its sample').waitFor();
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

  it('a new label is in the list at once, although the server keeps an older list', async () => {
    const { page } = await openReview();
    const search = page.getByRole('combobox', { name: 'The right label' });
    const sent: unknown[] = [];
    page.on('request', (request) => {
      if (request.url().endsWith(ANSWERS)) sent.push(request.postDataJSON());
    });
    for (const [id, note] of [
      ['c-1', 'new label'],
      ['c-2', '1'],
      ['c-3', '1'],
    ] as const) {
      await shown(page, id);
      await page.keyboard.press('c');
      await search.fill('food / brand_new');
      await page.getByRole('option', { name: 'brand_new' }).waitFor();
      assert.equal(await page.getByRole('option', { name: 'brand_new' }).locator('.small').textContent(), note, id);
      await search.press('Enter');
    }
    for (const end = Date.now() + 30_000; sent.length < 3 && Date.now() < end;) await page.waitForTimeout(20);
    // The server may not know the first one when the second arrives.
    assert.deepEqual(
      sent.map((body) => (body as { new_label?: boolean }).new_label),
      [true, true, true],
    );
    await page.context().close();
  });

  it('a key that ends a word of an input method chooses no label, and the open list receives all keys', async () => {
    const { page } = await openReview();
    await shown(page, 'c-1');
    await page.keyboard.press('c');
    const search = page.getByRole('combobox', { name: 'The right label' });
    await search.fill('food / नया');
    await page.getByRole('option', { name: 'नया' }).waitFor();
    for (const init of [{ isComposing: true }, { keyCode: 229 }])
      await search.dispatchEvent('keydown', { key: 'Enter', bubbles: true, ...init });
    await page.locator('body').dispatchEvent('keydown', { key: 'a', bubbles: true });
    assert.equal(await search.count(), 1);
    await shown(page, 'c-1');
    await search.press('Enter');
    await page.getByText('Last: corrected to food / नया').waitFor();
    await page.context().close();
  });

  it('answers that a proxy refuses wait until the server itself responds', async () => {
    const { page } = await openReview();
    await shown(page, 'c-1');
    const refusals = [
      { status: 404, contentType: 'text/plain', body: '404 page not found' },
      { status: 403, contentType: 'text/html', body: '<h1>Blocked</h1>' },
      { status: 404, json: { detail: 'Not Found' } },
      { status: 408, body: '' },
    ];
    let asked = 0;
    await page.route(`**${ANSWERS}`, (route) => {
      const refusal = refusals[asked++];
      return refusal ? route.fulfill(refusal) : route.fallback();
    });
    await page.keyboard.press('a');
    for (const [i] of refusals.entries()) {
      for (const end = Date.now() + 10_000; asked <= i && Date.now() < end;) await page.waitForTimeout(20);
      await page.getByText('1 answer on its way.').waitFor();
      assert.equal(await page.locator('.notice.bad, .notice.row').count(), 0, JSON.stringify(refusals[i]));
      await page.evaluate("dispatchEvent(new Event('online'))"); // retries at once
    }
    await page.getByText('Everything is saved.').waitFor();
    await page.context().close();
  });

  it('hanging requests and answers are abandoned and sent again', async () => {
    const { page, answers } = await openReview();
    await shown(page, 'c-1');
    await page.evaluate(
      '{ const of = AbortSignal.timeout; AbortSignal.timeout = (ms) => of.call(AbortSignal, ms / 100); }',
    );
    const { [NEXT]: next, [ANSWERS]: accepted } = answers;
    Object.assign(answers, { [NEXT]: undefined, [ANSWERS]: undefined });
    const again = page.waitForEvent('requestfailed', (request) => request.url().endsWith(ANSWERS));
    await page.keyboard.press('a');
    await again;
    await page.getByText('1 answer on its way.').waitFor();
    answers[ANSWERS] = accepted;
    await page.getByText('Everything is saved.').waitFor();
    await page.getByText('The server does not answer.').waitFor();
    answers[NEXT] = next;
    await page.evaluate(LOOK_AGAIN);
    await page.getByText('The server does not answer.').waitFor({ state: 'detached' });
    await page.context().close();
  });

  it('an item that was undone leaves when somebody else has it', async () => {
    const group = [item('c-4')];
    const first = lent('c-1', 'c-2', 'c-3');
    const { page, answers } = await openReview({
      ...first,
      items: [{ ...item('c-1'), group }, ...first.items.slice(1)],
    });
    await shown(page, 'c-1');
    await page.keyboard.press('a');
    await shown(page, 'c-2');
    answers[NEXT] = lent('c-2', 'c-3'); // until the queue has processed the undo
    await page.keyboard.press('u');
    await shown(page, 'c-1');
    await page.getByText('Everything is saved.').waitFor();
    const look = async () => {
      const asked = page.waitForResponse(`**${NEXT}`);
      await page.evaluate(LOOK_AGAIN);
      await asked;
      await page.waitForTimeout(50);
    };
    for (const held of [['c-2'], ['c-2', 'c-1']]) {
      answers[NEXT] = lent(...held);
      await look();
      await shown(page, 'c-1');
    }
    answers[NEXT] = lent('c-2', 'c-4');
    await look();
    await shown(page, 'c-1'); // the queue may not have it back yet
    await page.evaluate('{ const now = performance.now.bind(performance); performance.now = () => now() + 30_000; }');
    await look();
    await page.locator('#news', { hasText: 'Somebody else has answered the previous message' }).waitFor();
    await shown(page, 'c-2');
    assert.equal(await page.locator('.next li').count(), 1, 'the item that was answered with it comes alone now');
    await page.context().close();
  });

  it('a second tab that starts as a copy of the first has items of its own, and a reload keeps the items', async () => {
    const { page } = await openReview();
    await shown(page, 'c-1');
    const session = async (tab: Page, act: () => Promise<unknown>) => {
      const [asked] = await Promise.all([
        tab.waitForRequest((one) => one.url().endsWith(NEXT) && (one.postDataJSON() as { count: number }).count === 1),
        act(),
      ]);
      return (asked.postDataJSON() as { session: string }).session;
    };
    const reloaded = await session(page, () => page.reload());
    const opened = page.context().waitForEvent('page');
    await page.evaluate('void open(location.href)');
    const copied = await session(await opened, () => Promise.resolve());
    assert.notEqual(copied, reloaded);
    assert.equal(await session(page, () => page.reload()), reloaded);
    await page.context().close();
  });

  it('a registered version names its data set without a link, which would lead nowhere', async () => {
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

  it('a chart has a name and a table of its values', async () => {
    const at = Date.UTC(2026, 9, 5) / 1000;
    const page = await open('/', {
      '/v1/topology': { topics: [], processors: [], projections: [], services: [] },
      '/v1/overview': {
        routing: [{ at, auto_approved: 5, needs_review: 2, priority_review: 0 }],
        confidence: Array.from({ length: 20 }, (_, bin) => bin),
      },
      '/v1/models': [{ version: 'router-v2', test_accuracy: 0.91, production_accuracy: null }],
      ...{ '/v1/deployments?limit=1': [], '/v1/training-runs': [], '/v1/kpis': { kpis: [] } },
    });
    for (const [name, first] of [
      ['Routing over time, UTC', ['5 Oct 2026, 00:00', '5', '2', '0']],
      ['Confidence', ['0.025', '0']],
      ['Accuracy by version', ['v2', '91 %', '–']],
    ] as const) {
      await page.getByRole('img', { name }).waitFor();
      const card = page.locator('section', { has: page.getByRole('heading', { name, exact: true }) });
      await card.getByText('As a table').click();
      const row = page.getByRole('region', { name, exact: true }).locator('tbody tr').first();
      assert.deepEqual(await row.locator('td').allTextContents(), first);
    }
    await page.context().close();
  });

  /** The texts on a chart after it was drawn with each of these lists of times, in seconds. */
  const textsOf = (page: Page, ...times: readonly (readonly number[])[]) =>
    page.evaluate<string[]>(`(async () => {
      const { draw } = await import('/pages/chart.js');
      let texts = [];
      const fillText = CanvasRenderingContext2D.prototype.fillText;
      CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
        texts.push(text);
        return fillText.call(this, text, ...place);
      };
      const place = document.body.appendChild(document.createElement('div'));
      for (const at of ${JSON.stringify(times)}) {
        texts = [];
        const xRange = at.length === 1 ? { xRange: [at[0] - 3600, at[0] + 3600] } : {};
        draw(place, { data: [at, at.map(() => 5)], time: true, ...xRange, series: [{ label: 'a', colour: 'auto' }] });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      return texts;
    })()`);

  it('the chart of routing has the days of UTC, also west of it', async () => {
    const day = Date.UTC(2026, 9, 5) / 1000;
    const page = await open('/data-sets', {}, 'America/New_York');
    const texts = await textsOf(
      page,
      [0, 1, 2, 3, 4].map((i) => day + 86_400 * i),
    );
    const days = texts.filter((text) => / Oct$/.test(text));
    assert.deepEqual([days[0], days.at(-1)], ['5 Oct', '9 Oct']);
    await page.context().close();
  });

  it('the chart of routing grows with the traffic after its first hour', async () => {
    const hour = (i: number) => Date.UTC(2026, 9, 5, i) / 1000;
    const page = await open('/data-sets', {});
    const texts = await textsOf(page, [hour(9)], [9, 10, 11, 12, 13].map(hour));
    assert.ok(texts.includes('13:00'), texts.join());
    await page.context().close();
  });
});
