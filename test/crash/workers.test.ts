import assert from 'node:assert/strict';
import path from 'node:path';
import { it } from 'node:test';
import { crashRun } from './harness.ts';

const source = path.join(import.meta.dirname, '..', '..');

it(
  '10 kills, 20 pauses, Kafka killed twice and Postgres once: every count is exact',
  { timeout: 900_000 },
  async () => {
    assert.deepEqual(await crashRun({ source, events: 50_000, rounds: 10, brokerKills: 2, postgresKills: 1 }), []);
  },
);
