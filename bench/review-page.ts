/**
 * `npm run bench:review-page [-- ITEMS [FOLDER]]`: how long the review page takes to show its first item with ITEMS (10,000 by
 * default) in the queue, five times in fresh browser profiles. With FOLDER, it also saves screenshots there.
 */
import path from 'node:path';
import { chromium } from 'playwright-core';
import { startReviewing } from '../test/integration/reviewing.ts';

const items = Number(process.argv[2] ?? 10_000);
const folder = process.argv[3];
const MESSAGES = [
  ['hi', 'मेरा ऑर्डर 4521 अभी तक नहीं आया, कृपया बताएँ कहाँ है?', 'track_order', 'cancel_order', 'food'],
  ['en', 'The driver took the wrong turn, can I get my money back?', 'refund_status', 'report_driver', 'ride'],
  ['ta', 'என் பணம் எப்போது திரும்ப வரும்?', 'refund_status', 'payment_failed', 'payment'],
  ['hi-Latn', 'bhai parcel kahan pahuncha, do din ho gaye', 'track_parcel', 'track_order', 'parcel'],
  ['te', 'నా రైడ్ రద్దు చేయండి, డ్రైవర్ రాలేదు', 'cancel_ride', 'report_driver', 'ride'],
  ['en', 'Is the restaurant near the station still open?', 'restaurant_hours', 'order_food', 'food'],
  ['bn', 'টাকা কেটে নিয়েছে কিন্তু অর্ডার হয়নি', 'payment_failed', 'refund_status', 'payment'],
  ['mr', 'साइज चुकीची आहे, रिटर्न कसा करायचा?', 'return_product', 'refund_status', 'shop'],
] as const;

const reviewing = await startReviewing();
const { producer } = reviewing;
for (let from = 0; from < items; from += 1000)
  await Promise.all(
    Array.from({ length: Math.min(1000, items - from) }, (_, n) => {
      const i = from + n;
      const [language, user_message, nlu_intent, other, nlu_module] = MESSAGES[i % MESSAGES.length] ?? MESSAGES[0];
      return producer.captureConversation({
        conversation_id: `c-${i}`,
        user_message: i % 200 < 8 ? user_message : `${user_message} ${i.toString(36).replaceAll(/\d/g, 'x')}`,
        language,
        nlu_intent,
        nlu_module,
        nlu_confidence: 0.45 + ((i * 7919) % 400) / 1000,
        nlu_provider: 'indicbert',
        model_version: 'router-v1.0.0',
        runners_up: [
          { intent: other, module: nlu_module, confidence: 0.14 },
          { intent: 'complaint', module: 'general', confidence: 0.06 },
        ],
        created_at: new Date(Date.UTC(2026, 9, 5) + i * 1000),
      });
    }),
  );
await reviewing.caughtUp();

const app = reviewing.server();
const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/review`;
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });

async function open(reviewer: string, options: object = {}) {
  const context = await browser.newContext(options);
  await context.addInitScript({ content: `localStorage.setItem('samvad.reviewer', '${reviewer}')` });
  const page = await context.newPage();
  const began = performance.now();
  await page.goto(url);
  await page.waitForSelector('.task');
  return { page, ms: performance.now() - began };
}

await (await browser.newPage()).setContent('<p>The browser has started.</p>');
const times: number[] = [];
for (let i = 0; i < 5; i++) {
  const { page, ms } = await open(`reviewer-${i}`);
  times.push(Math.round(ms));
  await page.context().close();
}
process.stdout.write(`${items} items: first item shown after ${times.join(', ')} ms\n`);
if (folder !== undefined) {
  const { page } = await open('asha', { viewport: { width: 1200, height: 780 } });
  await page.screenshot({ path: path.join(folder, 'review-light.png') });
  await page.keyboard.press('c');
  await page.waitForSelector('dialog[open]');
  await page.keyboard.type('re');
  await page.screenshot({ path: path.join(folder, 'review-labels.png') });
  await page.context().close();
  const phone = await open('ravi', { colorScheme: 'dark', viewport: { width: 390, height: 780 } });
  await phone.page.screenshot({ path: path.join(folder, 'review-phone-dark.png') });
}
await browser.close();
await app.close();
await reviewing.stop();
process.exit(0);
