import assert from 'node:assert/strict';
import path from 'node:path';
import { it } from 'node:test';
import { crashRun } from './harness.ts';

const source = path.join(import.meta.dirname, '..', '..');

it(
  '10 kills, 20 pauses, Kafka killed twice and Postgres once, all while events flow: every count is exact',
  { timeout: 1_800_000 },
  async (t) => {
    const plan = { source, events: 50_000, rounds: 10, brokerKills: 2, postgresKills: 1 };
    const { broken, kills, pauses, takeOvers, sentAtLastFault } = await crashRun(plan);
    t.diagnostic(
      `${kills} kills, ${pauses} pauses with ${takeOvers} take-overs, ${sentAtLastFault} events sent at the last fault`,
    );
    assert.deepEqual(broken, []);
    assert.deepEqual({ kills, pauses, takeOvers }, { kills: 10, pauses: 20, takeOvers: 20 });
    assert.ok(sentAtLastFault < plan.events, 'events flow at the last fault');
  },
);
