import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startStack } from '../integration/stack.ts';
import type { Stack } from '../integration/stack.ts';
import { copyProgram } from './copies.ts';
import { runGuard } from './guard-run.ts';
import { points } from './guards.ts';
import type { Guard } from './guards.ts';

/** Tests one after another, on servers of its own, that a promise breaks without each of `guards`. */
export function testGuards(guards: readonly Guard[]): void {
  describe('without this guard a promise breaks', () => {
    let stack: Stack;
    let complete: string;
    before(async () => {
      stack = await startStack();
      complete = path.join(stack.home, 'complete');
      await copyProgram(complete, points);
    });
    after(() => stack.stop());

    for (const guard of guards) {
      it(guard.name, { timeout: 480_000 }, async () => {
        const without = path.join(stack.home, guard.name.replaceAll(' ', '-'));
        await copyProgram(without, [...points, ...guard.removal]);
        assert.deepEqual(await runGuard(stack, guard, complete, false), [], 'the complete program keeps every promise');
        assert.notDeepEqual(await runGuard(stack, guard, without, true), [], 'without the guard a promise is broken');
      });
    }
  });
}
