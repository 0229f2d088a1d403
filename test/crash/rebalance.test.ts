import assert from 'node:assert/strict';
import { it } from 'node:test';
import { rebalanceRun } from './rebalance.ts';

it(
  'with two, then four, then one worker under load, nothing is lost or comes twice',
  { timeout: 1_200_000 },
  async () => {
    const { events, rebalances, broken } = await rebalanceRun(500, 8000);
    assert.deepEqual(broken, []);
    assert.ok(events > 5000);
    assert.deepEqual(
      rebalances.map(({ from, to }) => [from, to]),
      [
        [2, 4],
        [4, 1],
      ],
    );
  },
);
