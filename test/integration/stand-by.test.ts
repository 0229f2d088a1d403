import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '../../config.ts';
import { kafkaServer } from '../../platform/kafka.ts';
import { startPlatform } from '../../platform/platform.ts';
import type { RunningPlatform } from '../../platform/platform.ts';
import { postgresServer } from '../../platform/postgres.ts';
import { registryServer } from '../../platform/registry.ts';
import type { ServerName } from '../../platform/server.ts';
import { readOrCreateState } from '../../platform/state.ts';
import { sentConversation } from '../fixtures.ts';
import { endAll } from './stack.ts';

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
/** Together with the time of a start, longer than any call to Kafka waits (30 s): a worker must survive it. */
const LONG_OUTAGE_MS = 30_000;

let home: string;
let child: ChildProcess;
let output = '';
let [health, api] = ['', ''];
const platforms = new Map<ServerName, RunningPlatform>();

before(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), 'samvad-stand-by-'));
  await chmod(home, 0o755); // Postgres may run as another user
  const state = await readOrCreateState(home);
  child = spawn(process.execPath, [bin, 'run', 'pipeline', 'http'], {
    env: {
      ...process.env,
      KAFKA_BROKERS: kafkaServer.address(state),
      SCHEMA_REGISTRY_URL: registryServer.address(state),
      DATABASE_URL: postgresServer.address(state),
      SAMVAD_HOME: home,
      SAMVAD_HTTP_PORT: '0',
      SAMVAD_HEALTH_PORT: '0',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const urls = await until(() =>
    Promise.resolve(/Health on (http:\S+)\/readyz\.\nAPI and pages on (http:\S+)\.\n/.exec(output) ?? undefined),
  );
  [, health = '', api = ''] = urls;
});

after(() =>
  endAll(
    () => child.kill('SIGKILL'),
    () => endAll(...[...platforms.values()].map((one) => () => one.stop())),
    () => rm(home, { recursive: true, force: true }),
  ),
);

test('with all servers down, the process runs, says what it waits for and accepts traffic', async () => {
  const parts = await partsOnce((p) => /ECONNREFUSED/.test(p['kafka'] ?? '') && /ECONNREFUSED/.test(p['intake'] ?? ''));
  assert.match(parts['schema-registry'] ?? '', /ECONNREFUSED/);
  assert.match(parts['intake'] ?? '', /It waits for the topics and schemas: .*ECONNREFUSED/);
  assert.match(parts['conversation-logs'] ?? '', /It waits for the topics and schemas: .*ECONNREFUSED/);
  assert.equal((await fetch(`${health}/healthz`)).status, 200);
  const refused = await fetch(`${api}/v1/status`);
  assert.equal(refused.status, 503);
  assert.match(((await refused.json()) as { detail: string }).detail, /^It waits for the topics and schemas: /);
  assert.equal(await send('before'), 'spool');
  assert.match(output, /"what":"the tables","reason":"connect ECONNREFUSED /);
});

test('each server that starts is noticed, and a component begins when it has the servers that it needs', async () => {
  await start('postgres');
  let parts = await partsOnce((p) => p['postgres'] === 'ok');
  assert.notEqual(parts['kafka'], 'ok');
  await start('kafka');
  parts = await partsOnce((p) => p['kafka'] === 'ok' && /registry/.test(p['intake'] ?? ''));
  assert.match(parts['intake'] ?? '', /It waits for the topics and schemas: The schema registry at .* does not answer/);
  await start('registry');
  await partsOnce(allOk);
  await arrived('before');
});

for (const [server, part, outageMs] of [
  ['registry', 'schema-registry', 0],
  ['postgres', 'postgres', 0],
  ['kafka', 'kafka', LONG_OUTAGE_MS],
] as const) {
  test(`the process survives an outage of ${server}`, async () => {
    platforms.get(server)?.kill(server, 'SIGKILL');
    const parts = await partsOnce((p) => p[part] !== 'ok');
    assert.equal(/It waits for postgres/.test(parts['conversation-logs'] ?? ''), server === 'postgres');
    assert.equal(parts['intake'] === 'ok', server !== 'kafka', parts['intake']);
    await send(`during ${server}`);
    await sleep(outageMs);
    assert.equal(child.exitCode, null, output);
    await platforms.get(server)?.restart(server);
    await partsOnce(allOk);
    await arrived(`during ${server}`);
  });
}

test('the process shuts down cleanly', async () => {
  const ended = new Promise((resolve) => child.on('close', resolve));
  child.kill('SIGTERM');
  assert.equal(await ended, 0, output);
});

const allOk = (parts: Record<string, string>) => Object.values(parts).every((state) => state === 'ok');

async function start(server: ServerName): Promise<void> {
  const { cache } = readConfig();
  const servers = new Set([server]);
  platforms.set(server, await startPlatform({ home, cache, servers, detached: false, progress: () => undefined }));
}

/** The parts of `/readyz` as soon as they fulfil `condition`; its status always agrees with them. */
function partsOnce(condition: (parts: Record<string, string>) => boolean): Promise<Record<string, string>> {
  return until(
    async () => {
      const response = await fetch(`${health}/readyz`);
      const { parts } = (await response.json()) as { parts: Record<string, string> };
      assert.equal(response.status, allOk(parts) ? 200 : 503);
      return condition(parts) ? parts : undefined;
    },
    () => fetch(`${health}/readyz`).then((response) => response.text()),
  );
}

/** Sends a conversation, and returns where it was stored. */
async function send(id: string): Promise<string | undefined> {
  const response = await fetch(`${api}/v1/conversations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(sentConversation(id)),
  });
  assert.equal(response.status, 202);
  const { stored } = (await response.json()) as { stored: Record<string, number> };
  return Object.keys(stored).find((place) => stored[place] === 1);
}

async function arrived(id: string): Promise<void> {
  await until(async () => {
    const response = await fetch(`${api}/v1/conversations/${encodeURIComponent(id)}`);
    return response.status === 200 || undefined;
  });
}

async function until<T>(look: () => Promise<T | undefined>, why = () => Promise.resolve('')): Promise<T> {
  for (const deadline = Date.now() + 90_000; ; await sleep(100)) {
    const found = await look();
    if (found !== undefined) return found;
    assert.equal(child.exitCode, null, output);
    if (Date.now() > deadline) assert.fail(`Not after 90 s: ${await why()}\n${output}`);
  }
}
