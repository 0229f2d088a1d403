import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');

/** Polls `url` until its status is `status`; gives the body. */
async function until(url: string, status: number): Promise<Record<string, unknown>> {
  for (const deadline = Date.now() + 60_000; ;) {
    const response = await fetch(url);
    const body = (await response.json()) as Record<string, unknown>;
    if (response.status === status) return body;
    if (Date.now() > deadline) assert.fail(`${url} still answers ${response.status}: ${JSON.stringify(body)}`);
    await sleep(100);
  }
}

describe('samvad up', () => {
  it(
    'takes conversations and reviews over HTTP, makes rows of them, and ends cleanly',
    { timeout: 180_000 },
    async () => {
      const home = await mkdtemp(path.join(os.tmpdir(), 'samvad-up-'));
      await chmod(home, 0o755); // Postgres may run as another user
      const { KAFKA_BROKERS, SCHEMA_REGISTRY_URL, DATABASE_URL, ...env } = process.env;
      assert.deepEqual([KAFKA_BROKERS, SCHEMA_REGISTRY_URL, DATABASE_URL], [undefined, undefined, undefined]);
      const child = spawn(process.execPath, [bin, 'up'], {
        env: {
          ...env,
          SAMVAD_HOME: home,
          SAMVAD_REPORTS: path.join(home, 'reports'),
          SAMVAD_HTTP_PORT: '0',
          SAMVAD_LOG_LEVEL: 'warn',
        },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
      try {
        let output = '';
        const url = await new Promise<string>((resolve, reject) => {
          child.stderr.on('data', (chunk: Buffer) => {
            output += chunk.toString();
            const found = /Samvad is up on (http:\S+?)\. /.exec(output)?.[1];
            if (found !== undefined) resolve(found);
          });
          child.on('close', () => reject(new Error(`It ended: ${output}`)));
        });
        await until(`${url}/readyz`, 200);
        const post = (resource: string, body: object) =>
          fetch(`${url}${resource}`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(body),
          });
        const sent = {
          conversation_id: 'up-1',
          user_message: 'refund kab milega?',
          language: 'hi-Latn',
          nlu_intent: 'refund_status',
          nlu_module: 'payment',
          nlu_confidence: 0.5,
          nlu_provider: 'indicbert',
          created_at: '2026-10-05T09:30:00Z',
        };
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
        child.kill('SIGTERM');
        assert.equal(await ended, 0, output);
      } finally {
        child.kill('SIGTERM');
        await ended;
        await rm(home, { recursive: true, force: true });
      }
    },
  );
});
