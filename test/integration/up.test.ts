import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sentConversation } from '../fixtures.ts';

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');

/** Polls `url` until its status is `status`, and returns the body. */
async function until(url: string, status: number): Promise<Record<string, unknown>> {
  for (const deadline = Date.now() + 60_000; ;) {
    const response = await fetch(url);
    const body = (await response.json()) as Record<string, unknown>;
    if (response.status === status) return body;
    if (Date.now() > deadline) assert.fail(`${url} still answers ${response.status}: ${JSON.stringify(body)}`);
    await sleep(100);
  }
}

/** Starts `samvad ARGS` in a process of its own, with `folder` as its data folder. */
function start(args: readonly string[], folder: string, more: Readonly<Record<string, string>> = {}) {
  const { KAFKA_BROKERS, SCHEMA_REGISTRY_URL, DATABASE_URL, ...env } = process.env;
  assert.deepEqual([KAFKA_BROKERS, SCHEMA_REGISTRY_URL, DATABASE_URL], [undefined, undefined, undefined]);
  const child = spawn(process.execPath, [bin, ...args], {
    env: {
      ...env,
      LC_ALL: 'C', // as under systemd
      SAMVAD_HOME: folder,
      SAMVAD_REPORTS: path.join(folder, 'reports'),
      SAMVAD_HTTP_PORT: '0',
      SAMVAD_LOG_LEVEL: 'warn',
      ...more,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.on('exit', (code, signal) => resolve(code ?? signal)),
  );
  /** The first group of `pattern`, once it is printed. */
  async function printed(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(output)?.[1];
      if (found !== undefined) return found;
      if (child.exitCode !== null) assert.fail(`It ended: ${output}`);
      await sleep(50);
    }
  }
  return { child, ended, printed, output: () => output };
}

const UP = /Samvad is up on (http:\S+?)\. /;

/** Processes that work in `folder`. */
async function processesIn(folder: string): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const places = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => '')));
  return places.filter((place) => place.startsWith(folder));
}

describe('samvad up', { timeout: 400_000 }, () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-परियोजना-'));
    await chmod(folder, 0o755); // Postgres may run as another user
  });
  afterEach(async () => {
    for (const deadline = Date.now() + 30_000; Date.now() < deadline; await sleep(100))
      if ((await processesIn(folder)).length === 0) break;
    assert.deepEqual(await processesIn(folder), [], 'servers were left behind');
    await rm(folder, { recursive: true, force: true });
  });

  it('stores what it gets over HTTP, shuts down cleanly when nobody reads its output, starts again on its data, and ends when a server dies', async () => {
    const { child, ended, printed, output } = start(['up'], folder);
    try {
      const url = await printed(UP);
      await until(`${url}/readyz`, 200);
      const post = (resource: string, body: object) =>
        fetch(`${url}${resource}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        });
      const sent = sentConversation('up-1');
      assert.equal((await post('/v1/conversations', { ...sent, nlu_confidence: 1.7 })).status, 400);
      assert.equal((await post('/v1/conversations', sent)).status, 202);
      assert.equal((await until(`${url}/v1/conversations/up-1`, 200))['route'], 'priority-review');
      assert.equal(
        (
          await post('/v1/reviews', {
            conversation_id: 'up-1',
            verdict: 'approve',
            reviewer: 'asha',
            reviewed_at: '2026-10-05T10:00:00Z',
          })
        ).status,
        202,
      );
      for (const deadline = Date.now() + 30_000; ; await sleep(100)) {
        const status = (await until(`${url}/v1/status`, 200)) as { totals: { samples: number } };
        if (status.totals.samples === 1) break;
        assert.ok(Date.now() < deadline, JSON.stringify(status));
      }
      child.stderr.destroy();
      child.kill('SIGTERM');
      assert.equal(await ended, 0, output());
    } finally {
      child.kill('SIGTERM');
      await ended;
    }

    const again = start(['up'], folder);
    const url = await again.printed(UP);
    assert.equal(
      (await until(`${url}/v1/conversations/up-1`, 200))['review_status'],
      'approved',
      'its data is still there',
    );
    const { pid } = JSON.parse(await readFile(path.join(folder, 'run', 'kafka.json'), 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
    assert.equal(await again.ended, 1);
    assert.match(again.output(), /Kafka ended unexpectedly/);
  });

  it('shuts down cleanly while its servers start, or while it waits for another process that starts them', async () => {
    const first = start(['up'], folder);
    const lock = path.join(folder, 'start.lock');
    while (!existsSync(lock)) await sleep(20);
    const second = start(['up'], folder);
    await second.printed(/(waiting for process)/);
    second.child.kill('SIGTERM');
    assert.equal(await second.ended, 0, second.output());
    while (!existsSync(path.join(folder, 'run', 'kafka.json'))) await sleep(20);
    first.child.kill('SIGTERM');
    assert.equal(await first.ended, 0, first.output());
    assert.doesNotMatch(first.output(), /Kafka ready/);
    assert.deepEqual(await readdir(path.join(folder, 'run')), []);
  });

  it('leaves nothing behind when a demo is interrupted', async () => {
    const { child, ended, printed } = start(['demo'], folder, { SAMVAD_REPLICATION: '3', TMPDIR: folder });
    await printed(/(Topics, schemas and tables are in place)/);
    child.kill('SIGINT');
    assert.equal(await ended, 130);
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.startsWith('samvad-demo-')),
      [],
    );
  });
});
