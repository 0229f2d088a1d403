import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { it } from 'node:test';
import type { PoolClient } from 'pg';
import { hearHints } from '../../label-studio/hint.ts';

const LONG_MS = 3_600_000;

/** Hears the hints of a connection; `give` gives one. */
async function hearing() {
  const client = Object.assign(new EventEmitter(), { query: () => Promise.resolve() });
  const ends = new AbortController();
  const hintWithin = await hearHints(client as unknown as PoolClient, ends.signal);
  return { hintWithin, ends, give: () => client.emit('notification') };
}

it('a hint ends the wait once, also when it came before', { timeout: 10_000 }, async () => {
  const { hintWithin, give } = await hearing();
  const waiting = hintWithin(LONG_MS);
  give();
  await waiting;
  give();
  give();
  await hintWithin(LONG_MS);
  const begun = performance.now();
  await hintWithin(50);
  assert.ok(performance.now() - begun > 40, 'several hints count as one');
});

it('the end of the session ends the wait, and every later one', { timeout: 10_000 }, async () => {
  const { hintWithin, ends } = await hearing();
  const waiting = hintWithin(LONG_MS);
  ends.abort();
  await waiting;
  await hintWithin(LONG_MS);
});
