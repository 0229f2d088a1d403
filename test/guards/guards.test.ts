import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startStack } from '../integration/stack.ts';
import type { Stack } from '../integration/stack.ts';
import { runGuard } from './guard-run.ts';
import { guards } from './guards.ts';

describe('a guard that is taken out is missed', () => {
  let stack: Stack;
  before(async () => {
    stack = await startStack();
  });
  after(() => stack.stop());

  for (const guard of guards) {
    it(guard.name, { timeout: 480_000 }, async () => {
      assert.deepEqual(await runGuard(stack, guard, false), [], 'the complete program keeps every promise');
      assert.notDeepEqual(await runGuard(stack, guard, true), [], 'without the guard a promise is broken');
    });
  }
});
