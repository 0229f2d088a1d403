import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { readConfig } from '../../config.ts';
import { kafkaBroker } from '../../platform/kafka.ts';
import { startServer, stopServer } from '../../platform/lifecycle.ts';
import { thisProcess } from '../../platform/lock.ts';
import { readOrCreateState } from '../../platform/state.ts';

const program = path.join(import.meta.dirname, 'lost-call.ts');

test(
  'a call into librdkafka that never returns is abandoned, and blocks neither the work nor the end of the process',
  { timeout: 120_000 },
  async (t) => {
    const home = await mkdtemp(path.join(os.tmpdir(), 'samvad-lost-'));
    // With one broker, this topic of groups can't be created, so no group ever has a coordinator.
    const kafka = kafkaBroker({ properties: () => 'offsets.topic.replication.factor=3\n' });
    const state = await readOrCreateState(home);
    const context = { home, cache: readConfig().cache, state, progress: () => undefined };
    const { identity } = await startServer(kafka, context, await thisProcess(), () => undefined);
    t.after(async () => {
      await stopServer(kafka, identity, home, () => undefined);
      await rm(home, { recursive: true, force: true });
    });

    const env = { ...process.env, KAFKA_BROKERS: kafka.address(state) };
    const child = spawn(process.execPath, ['--import', 'tsx', program], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    const [said] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    assert.equal(said, 'Transient: sending offsets failed: the client gave no answer for 20 s\nwent on\n');
    assert.equal(child.signalCode, 'SIGKILL', 'nothing else ends a process whose threads Node waits for');
  },
);
