import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import type { Browser, Page, Request } from 'playwright-core';
import { newToken, parseTokens } from '../../http/tokens.ts';
import { startReviewing } from './reviewing.ts';
import type { Reviewing } from './reviewing.ts';
import { endAll } from './stack.ts';

const KEYS = { a: 'approve', r: 'reject', s: 'skip' } as const;

describe('the review page in Chromium', { timeout: 420_000 }, () => {
  let reviewing: Reviewing;
  let browser: Browser;
  let app: ReturnType<Reviewing['server']>;
  let url: string;

  /** Starts a server on `port`. */
  async function listen(port: number): Promise<string> {
    app = reviewing.server();
    return app.listen({ port, host: '127.0.0.1' });
  }

  before(async () => {
    reviewing = await startReviewing();
    url = await listen(0);
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  });
  after(() =>
    endAll(
      () => browser.close(),
      () => app.close(),
      () => reviewing.stop(),
    ),
  );

  const capture: Reviewing['capture'] = (inputs) => reviewing.capture(inputs);
  const caughtUp = () => reviewing.caughtUp();
  const sql = async <T extends object>(text: string) => (await reviewing.stack.prepared.pool.query<T>(text)).rows;

  const many = (module: string, n: number) =>
    capture(
      Array.from({ length: n }, (_, i) => ({
        conversation_id: `${module}-${i}`,
        nlu_module: module,
        user_message: `where is my order ${'x'.repeat(i)}`,
      })),
    );

  /** Opens a page in a browser profile of its own, with the reviewer's name and one module. */
  async function open(reviewer: string, module: string, options: object = {}): Promise<Page> {
    const context = await browser.newContext(options);
    await context.addInitScript({ content: `localStorage.setItem('samvad.reviewer', '${reviewer}')` });
    const page = await context.newPage();
    page.on('pageerror', (error) => assert.fail(error));
    await page.goto(`${url}/review?module=${module}`);
    await page.waitForSelector('.task'); // the page checks an empty queue again after some seconds
    return page;
  }

  const shown = (page: Page) => page.locator('.task').getAttribute('data-id');

  /** Presses a key, waits until another item or none is shown, and returns the id of the item before. */
  async function press(page: Page, key: string): Promise<string> {
    await page.waitForSelector('.task');
    const id = (await shown(page)) ?? '';
    await page.keyboard.press(key);
    await page.locator(`.task[data-id="${id}"]`).waitFor({ state: 'detached' });
    return id;
  }
  const saved = (page: Page) => page.getByText('Everything is saved.').waitFor();

  it('stores 50 answers by keyboard, each as it was given', async () => {
    await many('fifty', 55);
    const page = await open('asha', 'fifty');
    const given = new Map<string, string>();
    for (let i = 0; i < 50; i++) {
      const key = (['a', 'a', 'r', 's', 'a'] as const)[i % 5] ?? 'a';
      given.set(await press(page, key), KEYS[key]);
    }
    await saved(page);
    await caughtUp();
    const rows = await sql<{ conversation_id: string; verdict: string; source: string; timed: boolean }>(
      "SELECT conversation_id, verdict, source, time_taken_ms IS NOT NULL AS timed FROM conversation_reviews WHERE reviewer = 'asha'",
    );
    assert.equal(rows.length, 50);
    assert.deepEqual(new Map(rows.map((row) => [row.conversation_id, row.verdict])), given);
    assert.ok(rows.every(({ source, timed }) => source === 'inbox' && timed));
    await page.context().close();
  });

  it('corrects from a searched list by keyboard, and undoes an answer', async () => {
    await capture([
      { conversation_id: 'label', nlu_module: 'payment', nlu_intent: 'refund_status', nlu_confidence: 0.95 },
    ]);
    await many('undo', 6);
    const page = await open('meera', 'undo');
    const id = await shown(page); // waits: the page may have been opened just before the queue had its items
    await page.keyboard.press('c');
    await page.keyboard.type('refund');
    await page.keyboard.press('Enter');
    await page.getByText('Last: corrected to payment / refund_status').waitFor();
    await saved(page);
    await caughtUp();
    const standing = () =>
      sql<{ review_status: string; corrected_intent: string | null }>(
        `SELECT review_status, corrected_intent FROM conversation_logs WHERE conversation_id = '${id ?? ''}'`,
      );
    assert.deepEqual(await standing(), [{ review_status: 'approved', corrected_intent: 'refund_status' }]);
    await page.keyboard.press('u');
    await page.locator(`.task[data-id="${id ?? ''}"]`).waitFor();
    await saved(page);
    await caughtUp();
    assert.deepEqual(await standing(), [{ review_status: 'needs-review', corrected_intent: null }]);
    assert.equal(await press(page, 'a'), id);
    await saved(page);
    await caughtUp();
    assert.deepEqual(await standing(), [{ review_status: 'approved', corrected_intent: null }]);
    await page.context().close();
  });

  /** Makes the page request items again, as after the browser's back button, and waits until it shows them. */
  async function lookAgain(page: Page): Promise<void> {
    let asked: Request | undefined;
    page.once('request', function first(request) {
      if (request.url().endsWith('/v1/review-queue/next')) asked = request;
      else page.once('request', first);
    });
    // While an earlier request runs, the page sends no other.
    for (; !asked; await sleep(50))
      await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))");
    await (await asked.response())?.finished();
    await page.evaluate('new Promise((resolve) => setTimeout(resolve, 100))');
  }

  it('keeps the shown item on top after undos', async (t) => {
    await many('back', 8);
    const page = await open('asha', 'back');
    t.after(() => page.context().close());
    const [first, second] = [await press(page, 'a'), await press(page, 'a')];
    await saved(page);
    await press(page, 'u');
    assert.equal(await shown(page), second);
    await press(page, 'u');
    assert.equal(await shown(page), first);
    await saved(page);
    await lookAgain(page);
    assert.equal(await shown(page), first);
    await page.locator('.next button').nth(2).click();
    const chosen = await shown(page);
    assert.ok(chosen !== first && chosen !== second);
    await lookAgain(page);
    assert.equal(await press(page, 'r'), chosen);
    await saved(page);
    await caughtUp();
    assert.deepEqual(
      await sql(
        "SELECT conversation_id, verdict FROM conversation_logs WHERE nlu_module = 'back' AND verdict IS NOT NULL",
      ),
      [{ conversation_id: chosen, verdict: 'reject' }],
    );
  });

  it('accepts a correction of an item that somebody else has answered meanwhile, and says when the shown item changed', async (t) => {
    await many('late', 4);
    const page = await open('asha', 'late');
    t.after(() => page.context().close());
    await page.locator('.next li').first().waitFor();
    const answeredByMeera = async () => {
      const id = (await shown(page)) ?? '';
      await reviewing.producer.submitReview({
        ...{ review_id: `meera-${id}`, conversation_id: id, reviewer: 'meera', verdict: 'reject', source: 'inbox' },
        reviewed_at: new Date(),
      });
      await caughtUp();
      await lookAgain(page);
      await page.locator(`.task[data-id="${id}"]`).waitFor({ state: 'detached' });
      return id;
    };
    await page.keyboard.press('c');
    const late = await answeredByMeera();
    await page.keyboard.type('late / other');
    await page.keyboard.press('Enter');
    await page.getByText('Last: corrected to late / other').waitFor();
    await saved(page);
    const notice = page.locator('.notice', { hasText: 'Somebody else has answered the previous message' });
    assert.equal(await notice.count(), 0);
    const gone = await answeredByMeera();
    await notice.waitFor();
    assert.ok(((await notice.boundingBox())?.height ?? 0) > 10, 'it is visible');
    await press(page, 's');
    await notice.waitFor({ state: 'detached' });
    await saved(page);
    await caughtUp();
    const rows = await sql<{ id: string; verdict: string }>(
      `SELECT conversation_id AS id, string_agg(verdict, ' ' ORDER BY verdict) AS verdict FROM conversation_reviews
        WHERE conversation_id IN ('${late}', '${gone}') GROUP BY 1`,
    );
    assert.deepEqual(
      new Map(rows.map(({ id, verdict }) => [id, verdict])),
      new Map([
        [late, 'correct reject'],
        [gone, 'reject'],
      ]),
    );
  });

  it('leaves only unsent answers of one person to the next at the same browser', async (t) => {
    await many('next', 8);
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    const begin = async (name: string) => {
      await page.getByRole('textbox').fill(name);
      await page.getByRole('button', { name: 'Begin' }).click();
      await page.locator('aside', { hasText: name }).waitFor();
    };
    await page.goto(`${url}/review?module=next`);
    await begin('asha');
    const [kept, back] = [await press(page, 'a'), await press(page, 'a')];
    await press(page, 'u');
    await saved(page);
    await page.route('**/v1/review-queue/answers', (route) => route.abort());
    assert.equal(await press(page, 'r'), back);
    await page.unroute('**/v1/review-queue/answers');
    await page.getByRole('button', { name: 'Not you?' }).click();
    await begin('meera');
    assert.equal(await page.locator('#undo').isDisabled(), true);
    const own = await press(page, 'a');
    await saved(page);
    await caughtUp();
    const rows = await sql<{ said: string }>(
      `SELECT concat_ws(' ', conversation_id, reviewer, verdict) AS said FROM standing_reviews
        WHERE conversation_id LIKE 'next-%' AND verdict <> 'skip'`,
    );
    assert.deepEqual(
      rows.map(({ said }) => said).sort(),
      [`${kept} asha approve`, `${back} asha reject`, `${own} meera approve`].sort(),
    );
  });

  it('asks before unsent answers are lost, where the browser has no room for them', async (t) => {
    await many('unkept', 3);
    const context = await browser.newContext();
    t.after(() => context.close());
    // The storage is full for answers, but not for a name.
    await context.addInitScript({
      content: `const set = Storage.prototype.setItem;
        Storage.prototype.setItem = function (key, value) {
          if (key.startsWith('samvad.outbox.')) throw new DOMException('full', 'QuotaExceededError');
          set.call(this, key, value);
        };`,
    });
    const page = await context.newPage();
    await page.goto(`${url}/review?module=unkept`);
    await page.getByRole('textbox').fill('asha');
    await page.getByRole('button', { name: 'Begin' }).click();
    await page.route('**/v1/review-queue/answers', (route) => route.abort());
    const id = await press(page, 'r');
    const questions: string[] = [];
    page.on('dialog', (dialog) => {
      questions.push(dialog.message());
      void dialog.dismiss();
    });
    const another = page.getByRole('button', { name: 'Not you?' });
    await another.click();
    assert.match(questions.join(), /^This browser keeps no answers/);
    await page.unroute('**/v1/review-queue/answers');
    await saved(page);
    await another.click();
    await page.getByRole('textbox').waitFor();
    assert.equal(questions.length, 1);
    await caughtUp();
    assert.deepEqual(await sql(`SELECT reviewer, verdict FROM conversation_reviews WHERE conversation_id = '${id}'`), [
      { reviewer: 'asha', verdict: 'reject' },
    ]);
  });

  it('shows a filter whose part of the queue is empty, and removes it', async (t) => {
    await many('few', 2);
    await many('more', 3);
    const page = await open('asha', 'more');
    t.after(() => page.context().close());
    const select = page.locator('[data-filter=module]');
    await select.selectOption('few');
    await page.locator('.task[data-id^="few-"]').waitFor();
    for (let i = 0; i < 2; i++) await press(page, 'a');
    await saved(page);
    await page.getByText('Nothing waits in this part of the queue.').waitFor();
    await lookAgain(page);
    assert.equal(await select.inputValue(), 'few');
    assert.equal(await select.locator('option:checked').innerText(), 'few (0)');
    await select.selectOption('');
    await page.locator('.task').waitFor();
  });

  it('never shows two reviewers the same item', async () => {
    await many('two', 40); // each page holds some items that the other does not get
    const pages = await Promise.all([open('asha', 'two'), open('ravi', 'two')]);
    const seen = await Promise.all(
      pages.map(async (page) => {
        const ids: string[] = [];
        while (ids.length < 12) ids.push(await press(page, 'a'));
        await saved(page);
        return ids;
      }),
    );
    const overlap = await sql<{ conversation_id: string }>(
      'SELECT conversation_id FROM conversation_logs WHERE overlap',
    );
    const forTwo = new Set(overlap.map(({ conversation_id }) => conversation_id));
    const [asha, ravi] = seen.map((ids) => ids.filter((id) => !forTwo.has(id)));
    assert.deepEqual(
      asha?.filter((id) => ravi?.includes(id)),
      [],
    );
    await Promise.all(pages.map((page) => page.context().close()));
  });

  it('stays open through a restart of the server and loses no answer', async () => {
    await many('restart', 12);
    const page = await open('john', 'restart');
    const port = Number(new URL(url).port);
    await press(page, 'a');
    await saved(page);
    await app.close();
    const offline = [await press(page, 'a'), await press(page, 'r')];
    await page.getByText('2 answers on their way.').waitFor();
    await listen(port);
    await saved(page);
    await page.waitForSelector('.task');
    offline.push(await press(page, 'a'));
    await saved(page);
    await caughtUp();
    const rows = await sql<{ conversation_id: string; verdict: string }>(
      "SELECT conversation_id, verdict FROM conversation_reviews WHERE reviewer = 'john'",
    );
    assert.equal(rows.length, 4);
    for (const [i, verdict] of ['approve', 'reject', 'approve'].entries())
      assert.equal(rows.find(({ conversation_id: id }) => id === offline[i])?.verdict, verdict);
    await page.context().close();
  });

  it("does not say that nothing waits when it can't know", async (t) => {
    await many('unknown', 1);
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.addInitScript({ content: "localStorage.setItem('samvad.reviewer', 'asha')" });
    await page.route('**/v1/review-queue/next', (route) => route.abort());
    await page.goto(`${url}/review?module=unknown`);
    await page.getByText('The server does not answer.').waitFor();
    assert.match(await page.locator('#empty').innerText(), /^The queue is not available now/);
    assert.equal(await page.locator('#waiting').count(), 0);
    await page.unrouteAll();
    await page.locator('.task').waitFor();
    assert.ok(Number(await page.locator('#waiting').innerText()) > 0);
  });

  it('answers near-duplicates together: equal ones unless they are unticked, similar ones if they are ticked', async (t) => {
    await capture(
      [
        ...['Where is my order 1 now?', 'where is my order 22 now', 'Where is my order 333 now'],
        ...['So where is my order 4 now', 'And where is my order 5 now?', 'cancel the subscription of my brother'],
      ].map((user_message, i) => ({ conversation_id: `like-${i}`, nlu_module: 'like', user_message })),
    );
    const page = await open('asha', 'like');
    t.after(() => page.context().close());
    const ticked = async () =>
      Promise.all((await page.locator('.group fieldset input').all()).map((box) => box.isChecked()));
    const answered = async () => {
      await saved(page);
      await caughtUp();
      const rows = await sql<{ id: string }>(
        "SELECT conversation_id AS id FROM conversation_logs WHERE nlu_module = 'like' AND verdict IS NOT NULL ORDER BY 1",
      );
      return rows.map(({ id }) => Number(id.slice(5)));
    };
    assert.equal(await shown(page), 'like-0');
    assert.deepEqual(await ticked(), [true, true, false, false]);
    await page.getByRole('checkbox', { name: 'where is my order 22 now' }).uncheck();
    await page.keyboard.press('m');
    assert.deepEqual(await ticked(), [false, true, true, true]);
    await page.getByRole('checkbox', { name: 'And where is my order 5 now?' }).uncheck();
    await page.evaluate('{ const now = performance.now(); performance.now = () => now + 3_600_000; }'); // lunch
    assert.equal(await press(page, 'a'), 'like-0');
    await page.locator('#last', { hasText: '3 at once' }).waitFor();
    assert.deepEqual(await answered(), [0, 2, 3]);
    const [effort] = await sql(
      "SELECT sum(time_taken_ms)::int AS ms FROM conversation_reviews WHERE conversation_id LIKE 'like-%'",
    );
    assert.deepEqual(effort, { ms: 600_000 }, 'all together count at most ten minutes');

    await page.keyboard.press('u');
    await page.locator('.task[data-id="like-0"]').waitFor();
    await page.getByText('Answer 3 at once').waitFor();
    assert.deepEqual(await answered(), []);
    await page.reload(); // releases all items
    await page.locator('.task[data-id="like-0"]').waitFor();
    assert.deepEqual(await ticked(), [true, true, false, false]);
    while ((await page.locator('.task').count()) > 0) await press(page, 'a');
    assert.deepEqual(await answered(), [0, 1, 2, 3, 4, 5]);
  });

  it('restores an undone group as it was, also after a reload', async (t) => {
    const members = Array.from({ length: 6 }, (_, i) => `twin-${i}`);
    await capture(
      members.map((conversation_id, i) => ({ conversation_id, nlu_module: 'twins', user_message: `Refund ${i}!` })),
    );
    const chosen = await sql<{ conversation_id: string }>(
      "SELECT conversation_id FROM review_queue WHERE nlu_module = 'twins' AND NOT drawn ORDER BY 1",
    );
    const page = await open('meera', 'twins');
    t.after(() => page.context().close());
    const grouped = page.locator('.task', { has: page.locator('.group') });
    // Items drawn by chance stand alone and may come first.
    while ((await grouped.count()) === 0) await press(page, 'a');
    const alike = `${String(chosen.length - 1)} more that say nearly the same`;
    const answered = async () =>
      (await sql("SELECT FROM review_queue WHERE nlu_module = 'twins' AND NOT drawn AND answered_by = '[]'")).length ===
      0;
    for (const reload of ['not', 'when all is saved', 'at once']) {
      await page.getByText(alike).waitFor();
      await page.keyboard.press('a');
      await page.locator('#last', { hasText: `${String(chosen.length)} at once` }).waitFor();
      await saved(page);
      await caughtUp();
      assert.ok(await answered());
      await page.keyboard.press('u');
      await page.locator('#last', { hasText: 'Your last answer appears here.' }).waitFor();
      if (reload !== 'at once') {
        await saved(page);
        await caughtUp();
        assert.ok(!(await answered()));
      }
      if (reload !== 'not') await page.reload();
    }
    await page.getByText(alike).waitFor();
    assert.equal(await page.locator('.next li').count(), 0, 'none of them waits by itself');

    await page.keyboard.press('a');
    await page.locator('#last', { hasText: 'at once' }).waitFor();
    await page.keyboard.press('u');
    await page.getByText(alike).waitFor();
    await page.keyboard.press('g');
    await press(page, 'a');
    await page.getByText(`${String(chosen.length - 2)} more that say nearly the same`).waitFor();
  });

  it('shows a script as text, and a message of the greatest length', async () => {
    const script = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>${7*7}{{7*7}}';
    await capture([
      { conversation_id: 'script', nlu_module: 'odd', user_message: script },
      { conversation_id: 'long', nlu_module: 'odd', user_message: 'क'.repeat(32_768), language: 'hi' },
    ]);
    const page = await open('asha', 'odd');
    const texts: string[] = [];
    for (let i = 0; i < 2; i++) {
      if (await page.locator('#whole').isVisible()) await page.locator('#whole').click();
      texts.push((await page.locator('#message').textContent())?.trim() ?? '');
      assert.equal(await page.evaluate('window.pwned'), undefined);
      assert.ok(await page.locator('#approve').isVisible());
      await press(page, 'a');
    }
    assert.deepEqual(texts.sort(), [script, 'क'.repeat(32_768)].sort());
    await page.context().close();
  });

  it('says why an answer to an erased conversation is refused, and continues', async () => {
    await many('erased', 3);
    const page = await open('asha', 'erased');
    // The first item comes alone; the request for the others would remove it if that came after the deletion.
    await page.locator('.next li').nth(1).waitFor();
    const id = (await shown(page)) ?? '';
    await sql(`DELETE FROM conversation_logs WHERE conversation_id = '${id}'`);
    await sql(`DELETE FROM review_queue WHERE conversation_id = '${id}'`);
    await press(page, 'a');
    await page.getByText(`There is no conversation "${id}".`).waitFor();
    await page.getByRole('button', { name: 'Dismiss' }).click();
    await press(page, 'a');
    await saved(page);
    await page.context().close();
  });

  it('refuses only the bad one of many answers at once, and shows refused items again', async (t) => {
    await capture(
      Array.from({ length: 4 }, (_, i) => ({
        ...{ conversation_id: `part-${i}`, nlu_module: 'part', user_message: `Where is parcel ${i}?` },
        runners_up: [{ module: 'part', intent: 'never_had', confidence: 0.1 }],
      })),
    );
    await sql("UPDATE review_queue SET drawn = false WHERE nlu_module = 'part'"); // all four alike
    const page = await open('asha', 'part');
    t.after(() => page.context().close());
    const refused = page.getByRole('alert').filter({ hasText: 'not taken' });
    const answered = async () => {
      await saved(page);
      await caughtUp();
      const rows = await sql<{ said: string }>(
        `SELECT conversation_id || ' ' || verdict || coalesce(' ' || corrected_intent, '') AS said
           FROM conversation_logs WHERE nlu_module = 'part' AND verdict IS NOT NULL ORDER BY 1`,
      );
      return rows.map(({ said }) => said);
    };
    // First the server accepts nothing, as with a mistyped label.
    await page.route('**/v1/review-queue/answers', (route) =>
      route.fulfill({
        status: 422,
        contentType: 'application/problem+json',
        body: '{"type":"about:blank","status":422,"detail":"no"}',
      }),
    );
    await page.getByText('Answer 4 at once').waitFor();
    await page.keyboard.press('a');
    await refused.filter({ hasText: '4 answers of asha were not taken: no' }).waitFor();
    await page.getByText('Answer 4 at once').waitFor();
    assert.equal(await page.locator('#undo').isDisabled(), true);
    await page.unroute('**/v1/review-queue/answers');
    await page.getByRole('button', { name: 'Dismiss' }).click();
    assert.deepEqual(await answered(), []);

    const erased = await page.locator('.task').getAttribute('data-id');
    await sql(`INSERT INTO erasures VALUES ('${erased ?? ''}', 'meera', 'case 4', now(), 0, 0)`);
    await page.keyboard.press('1'); // a label that only the model has suggested
    await refused.filter({ hasText: 'An answer of asha was not taken' }).waitFor();
    const rest = [0, 1, 2, 3].map((i) => `part-${i}`).filter((id) => id !== erased);
    assert.deepEqual(
      await answered(),
      rest.map((id) => `${id} correct never_had`),
    );
  });

  it('shows a part of the queue that was chosen while a request ran, without a notice about somebody else', async (t) => {
    await many('slow', 2);
    await many('swift', 2);
    const page = await open('asha', 'slow');
    t.after(() => page.context().close());
    await page.locator('.next li').first().waitFor();
    await page.route('**/v1/review-queue/next', async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await route.continue();
    });
    const running = page.waitForRequest('**/v1/review-queue/next');
    await page.keyboard.press('a'); // after which the page requests more items
    await running;
    await page.locator('[data-filter=module]').selectOption('swift');
    await page.locator('.task[data-id^="swift-"]').waitFor({ timeout: 15_000 });
    assert.doesNotMatch((await page.locator('#news').textContent()) ?? '', /Somebody else/);
  });

  describe('with tokens', () => {
    const made = { asha: newToken('asha', ['review']), meera: newToken('meera', ['review']) };
    let secured: ReturnType<Reviewing['server']>;
    let address: string;
    before(async () => {
      const lines = Object.values(made).map(({ line }) => line);
      secured = reviewing.server(parseTokens(lines.join('\n')));
      address = await secured.listen({ port: 0, host: '127.0.0.1' });
    });
    after(() => secured.close());

    async function signIn(page: Page, name: keyof typeof made): Promise<void> {
      await page.locator('#token').fill(made[name].token);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.locator('aside', { hasText: name }).waitFor();
    }
    const signOut = (page: Page) => page.locator('aside').getByRole('button', { name: 'Sign out' }).click();
    const answersIn = async (module: string) => {
      await caughtUp();
      const rows = await sql<{ id: string; reviewer: string }>(
        `SELECT conversation_id AS id, reviewer FROM conversation_reviews WHERE conversation_id LIKE '${module}-%'`,
      );
      return new Map(rows.map(({ id, reviewer }) => [id, reviewer]));
    };
    const ofAsha = (page: Page) => page.getByText('1 answer of asha waits for asha to sign in on this browser.');

    it('uses the name of the session, whatever name was typed before, and signs out', async (t) => {
      await many('named', 3);
      const context = await browser.newContext();
      t.after(() => context.close());
      await context.addInitScript({ content: "localStorage.setItem('samvad.reviewer', 'Somebody Else')" });
      const page = await context.newPage();
      await page.goto(`${address}/review?module=named`);
      await signIn(page, 'asha');
      const id = await press(page, 'a');
      await saved(page);
      assert.match(await page.locator('aside').innerText(), /asha Sign out/);
      assert.equal(await page.getByText('Somebody Else').count(), 0);
      assert.deepEqual(await answersIn('named'), new Map([[id, 'asha']]));
      await page.route('**/v1/session', (route) => route.abort());
      await page.locator('header').getByRole('button', { name: 'Sign out' }).click();
      await page.locator('header').getByText('The server does not answer.').waitFor();
      await page.unrouteAll();
      await signOut(page);
      await page.locator('#token').waitFor();
      assert.equal((await context.request.get(`${address}/v1/labels`)).status(), 401);
    });

    it('keeps the answers of a person for that person when another signs in', async (t) => {
      await many('kept', 14); // asha's page still holds some when its session ends
      const context = await browser.newContext();
      t.after(() => context.close());
      const page = await context.newPage();
      await page.goto(`${address}/review?module=kept`);
      await signIn(page, 'asha');
      await page.route('**/v1/review-queue/answers', (route) => route.abort());
      const first = await press(page, 'a');
      await page.getByText('1 answer on its way.').waitFor();
      await context.clearCookies();
      await page.reload();
      await page.unrouteAll();
      await signIn(page, 'meera');
      await ofAsha(page).waitFor();
      const second = await press(page, 'r');
      await saved(page);
      assert.deepEqual(await answersIn('kept'), new Map([[second, 'meera']]));
      await signOut(page);
      await signIn(page, 'asha');
      await saved(page);
      await ofAsha(page).waitFor({ state: 'detached' });
      assert.deepEqual(await answersIn('kept'), new Map(Object.entries({ [second]: 'meera', [first]: 'asha' })));
    });

    it('becomes the page of the person who signs in in another tab', async (t) => {
      await many('tabs', 6);
      const context = await browser.newContext();
      t.after(() => context.close());
      const [page, other] = [await context.newPage(), await context.newPage()];
      await page.goto(`${address}/review?module=tabs`);
      await signIn(page, 'asha');
      await page.waitForSelector('.task');
      await other.goto(`${address}/review?module=tabs`);
      await signOut(other);
      await signIn(other, 'meera');
      await press(page, 'a');
      await page.locator('aside', { hasText: 'meera' }).waitFor();
      await ofAsha(page).waitFor();
      assert.deepEqual(await answersIn('tabs'), new Map());
      const [file] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('link', { name: 'Download' }).click(),
      ]);
      assert.match(
        await readFile(await file.path(), 'utf8'),
        /^\{"reviewer":"asha",.*"conversation_id":"tabs-\d".*\}$/,
      );
      page.once('dialog', (dialog) => void dialog.accept());
      await page.getByRole('button', { name: 'Dismiss' }).click();
      await ofAsha(page).waitFor({ state: 'detached' });
    });
  });

  it('has no accessibility fault that axe finds, in light and dark, on a phone, with the list of labels open', async () => {
    const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    await many('axe', 4);
    for (const options of [
      { colorScheme: 'light' as const },
      { colorScheme: 'dark' as const, viewport: { width: 360, height: 740 } },
    ]) {
      const page = await open('asha', 'axe', options);
      const faults = async () => {
        await page.evaluate(axe);
        return page.evaluate(
          `axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }).then(({ violations }) => violations.map(({ id, nodes }) => id + ' ' + nodes.map((n) => n.html).join(' ')))`,
        );
      };
      assert.deepEqual(await faults(), []);
      await page.keyboard.press('c');
      await page.waitForSelector('dialog[open]');
      assert.deepEqual(await faults(), []);
      const overflow = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
      assert.ok(overflow <= 0, 'nothing is wider than the screen');
      await page.context().close();
    }
  });
});
