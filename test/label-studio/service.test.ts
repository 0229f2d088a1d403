import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { labelStudio } from '../../label-studio/label-studio.ts';
import type { ServiceContext } from '../../runtime/service.ts';

it('without a configured Label Studio its service waits and leads nothing', async () => {
  const running = labelStudio.start({ config: { labelStudio: undefined } } as unknown as ServiceContext);
  await sleep(10);
  const { sessions, leading } = running.stats();
  assert.deepEqual({ sessions, leading, state: running.state() }, { sessions: 1, leading: undefined, state: 'ok' });
  await running.stop();
});
