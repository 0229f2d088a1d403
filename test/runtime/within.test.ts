import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { within } from '../../runtime/within.ts';

const LIMIT_MS = 5000;

describe('a limit', { timeout: 60_000 }, () => {
  const late = () => new Error('late');

  it('returns what arrives in time, and throws when time is up', async () => {
    assert.equal(await within(1500, sleep(1200, 'done'), late), 'done');
    await assert.rejects(within(20, Promise.reject(new Error('broken')), late), /broken/);
    await assert.rejects(within(20, new Promise(() => undefined), late), /late/);
    await assert.rejects(within(1200, new Promise(() => undefined), late), /late/);
  });

  it('does not count the time in which the process was stopped', async (t) => {
    const child = fork(path.join(import.meta.dirname, 'paused-child.ts'), [String(LIMIT_MS)]);
    t.after(() => child.kill('SIGKILL'));
    assert.equal((await once(child, 'message'))[0], 'waits');
    child.kill('SIGSTOP');
    await sleep(LIMIT_MS + 1000);
    const told = once(child, 'message');
    child.send('here'); // it arrives before the process continues, like an answer that came meanwhile
    child.kill('SIGCONT');
    assert.equal((await told)[0], 'in time');
  });
});
