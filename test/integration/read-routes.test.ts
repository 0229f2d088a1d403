import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startReviewing } from './reviewing.ts';
import type { Reviewing } from './reviewing.ts';

const NUL = '\0';

describe('what is read from Postgres', { timeout: 300_000 }, () => {
  let reviewing: Reviewing;
  let app: ReturnType<Reviewing['server']>;

  before(async () => {
    reviewing = await startReviewing();
    app = reviewing.server();
  });
  after(async () => {
    await app.close();
    await reviewing.stop();
  });

  const next = (changes: object) => ['/v1/review-queue/next', { reviewer: 'asha', session: 's', ...changes }] as const;
  const refused: readonly (readonly [url: string, body?: object])[] = [
    ['/v1/review-queue?module=%00'],
    ['/v1/review-queue?offset=1e20'],
    next({ session: `s${NUL}` }),
    next({ first: NUL }),
    next({ join: { lead: 'c-1', ids: [NUL] } }),
    next({ since: '2026-10-05T23:59:60Z' }),
    ['/v1/review-queue/release', { reviewer: 'asha', session: NUL }],
    ['/v1/erasures', { user_id: NUL, reason: 'case 1', requested_by: 'asha' }],
    ['/v1/conversations?before=0000-01-01T00:00:00Z'],
    ['/v1/conversations?before=2026-10-05T09:00:00%2B20:00'],
    ['/v1/kpis?date=0000-01-01'],
    ['/v1/kpis?date=9999-12-31'],
    ['/v1/accuracy?from=0000-01-01'],
    ['/v1/models/router-v1.0.0/lineage?after=99999999999/0'],
  ];
  for (const [url, payload] of refused) {
    it(`answers 400 and a sentence to what Postgres can't hold: ${url} ${JSON.stringify(payload ?? '')}`, async () => {
      const { statusCode, body } = await app.inject({
        method: payload ? 'POST' : 'GET',
        url,
        ...(payload && { payload }),
      });
      assert.equal(statusCode, 400, body);
      assert.match((JSON.parse(body) as { detail: string }).detail, /^\w.*\.$/);
    });
  }
});
