import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFile, chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel, type Admin } from 'kafkajs';
import pg from 'pg';
import {
  platformStatus,
  startPlatform,
  stopPlatform,
  type PlatformOptions,
  type RunningPlatform,
} from '../../platform/platform.ts';
import { identify } from '../../runtime/process-identity.ts';
import { serverNames } from '../../platform/server.ts';
import { sharedClasses } from '../../platform/shared-classes.ts';

// Real servers, about 40 seconds; the first run downloads them into the cache.
const cache = process.env['SAMVAD_CACHE'] ?? join(homedir(), '.cache', 'samvad');

process.env['PGSSLMODE'] = 'require'; // as from a user's shell, meant for other servers

let home: string;
let platform: RunningPlatform;
let keptSchema: unknown;
const messages: string[] = [];

const options = (): PlatformOptions => ({
  home,
  cache,
  servers: new Set(serverNames),
  detached: false,
  progress: (message) => {
    messages.push(message);
  },
});

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'samvad-platform-'));
  await chmod(home, 0o755); // as root, PostgreSQL runs as another user, which must be able to enter
  platform = await startPlatform(options());
});

after(async () => {
  await platform.stop();
  await rm(home, { recursive: true, force: true });
});

const required = (value: string | undefined): string => {
  assert.ok(value !== undefined);
  return value;
};

async function withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
  const brokers = [required(platform.addresses.kafkaBrokers)];
  const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

const topics = (): Promise<readonly string[]> => withAdmin((admin) => admin.listTopics());

async function query(sql: string): Promise<readonly unknown[]> {
  const client = new pg.Client({ connectionString: required(platform.addresses.databaseUrl) });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Registers a schema, or finds it again: the registry answers with the same id for the same schema. */
async function register(subject: string): Promise<unknown> {
  const response = await fetch(`${required(platform.addresses.schemaRegistryUrl)}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({
      schema: JSON.stringify({ type: 'record', name: subject, fields: [{ name: 'count', type: 'long' }] }),
    }),
  });
  assert.equal(response.status, 200);
  return response.json();
}

async function schemaById(id: number): Promise<number> {
  return (await fetch(`${required(platform.addresses.schemaRegistryUrl)}/schemas/ids/${id}`)).status;
}

const pidsGone = async (pids: readonly number[]): Promise<boolean> =>
  (await Promise.all(pids.map(identify))).every((found) => found === undefined);

test('a topic survives kill -9 of the broker', async () => {
  await withAdmin((admin) => admin.createTopics({ waitForLeaders: false, topics: [{ topic: 'kept' }] }));
  platform.kill('kafka', 'SIGKILL');
  await platform.restart('kafka');
  assert.deepEqual(await topics(), ['kept']);
});

test('a schema keeps its id through kill -9 of the registry', async () => {
  keptSchema = await register('Kept');
  await register('AlsoKept');
  platform.kill('registry', 'SIGKILL');
  await platform.restart('registry');
  assert.deepEqual(await register('Kept'), keptSchema);
  assert.equal(await schemaById((keptSchema as { id: number }).id), 200);
});

test('a row survives kill -9 of postgres', async () => {
  await query('CREATE TABLE kept (n bigint PRIMARY KEY)');
  await query('INSERT INTO kept VALUES (42)');
  platform.kill('postgres', 'SIGKILL');
  await platform.restart('postgres');
  assert.deepEqual(await query('SELECT n FROM kept'), [{ n: '42' }]);
});

test('while the owner of the servers runs, a second start is refused and stopPlatform does nothing', async () => {
  const statuses = await platformStatus(home);
  assert.deepEqual(
    statuses.map(({ server, state }) => [server, state]),
    serverNames.map((server) => [server, 'running']),
  );
  await assert.rejects(startPlatform(options()), {
    name: 'PlatformError',
    message: /belongs to the running process/,
  });
  await stopPlatform(home, () => undefined);
  assert.deepEqual(await topics(), ['kept']);
});

test('stop ends every process, and the next start finds the data and the shared classes', async () => {
  const pids = Object.values(platform.pids);
  assert.equal(pids.length, 3);
  await platform.stop();
  assert.ok(await pidsGone(pids));
  assert.ok((await platformStatus(home)).every(({ state }) => state === 'stopped'));
  platform = await startPlatform(options());
  assert.deepEqual(await topics(), ['kept']);
  assert.deepEqual(await query('SELECT n FROM kept'), [{ n: '42' }]);
  assert.deepEqual(await register('Kept'), keptSchema);
  for (const server of ['kafka', 'registry'] as const)
    assert.match(await readFile(`/proc/${platform.pids[server]}/cmdline`, 'utf8'), /-XX:SharedArchiveFile=\S+\.jsa/);
});

test('shared classes are used only with the same JVM, and only from a file with a header', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'samvad-classes-'));
  const [file = ''] = (await sharedClasses(folder, 'kafka', 'Java 17')).leave.map((option) => option.split('=')[1]);
  assert.ok(file.startsWith(join(folder, 'kafka-')));
  for (const [content, whole] of [
    [Buffer.alloc(0), false],
    [Buffer.alloc(4096), false],
    [Buffer.from('a header'), true],
  ] as const) {
    await writeFile(file, content);
    const { map, leave } = await sharedClasses(folder, 'kafka', 'Java 17');
    assert.deepEqual([map, leave], whole ? [[`-XX:SharedArchiveFile=${file}`], []] : [[], leave]);
    assert.equal((await sharedClasses(folder, 'kafka', 'Java 18')).leave.length, 1);
  }
  await rm(folder, { recursive: true });
});

test('a later start uses detached servers and leaves them running, and stopPlatform ends them', async () => {
  await platform.stop();
  const detached = await startPlatform({ ...options(), servers: new Set(['postgres']), detached: true });
  platform = await startPlatform({ ...options(), servers: new Set(['postgres']) });
  assert.deepEqual(platform.pids, detached.pids);
  await platform.stop();
  assert.equal((await platformStatus(home)).find(({ server }) => server === 'postgres')?.state, 'running');
  await stopPlatform(home, () => undefined);
  assert.ok(await pidsGone(Object.values(detached.pids)));
});

test('a server that ends by itself is reported', async () => {
  platform = await startPlatform({ ...options(), servers: new Set(['postgres']) });
  platform.kill('postgres', 'SIGKILL');
  await until(() => messages.some((message) => message.startsWith('PostgreSQL ended unexpectedly (signal SIGKILL)')));
});

test('a server left over by a killed owner is stopped first', async () => {
  await platform.restart('postgres');
  const leftOver = platform.pids.postgres;
  const path = join(home, 'run', 'postgres.json');
  const record = JSON.parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, JSON.stringify({ ...record, owner: { pid: process.pid, startedAt: 'an earlier process' } }));
  platform = await startPlatform({ ...options(), servers: new Set(['postgres']) });
  assert.ok(messages.includes(`stopping a PostgreSQL that an interrupted run left behind (process ${leftOver})`));
  assert.notEqual(platform.pids.postgres, leftOver);
  assert.deepEqual(await query('SELECT n FROM kept'), [{ n: '42' }]);
});

test('a port in use and a failing start are explained, and nothing is left running', async () => {
  await platform.stop();
  const { postgresPort } = JSON.parse(await readFile(join(home, 'platform.json'), 'utf8')) as { postgresPort: number };
  const squatter = createServer().listen(postgresPort, '127.0.0.1');
  await once(squatter, 'listening');
  await assert.rejects(startPlatform({ ...options(), servers: new Set(['postgres']) }), {
    name: 'PlatformError',
    message: /is taken by another program/,
  });
  squatter.close();
  await once(squatter, 'close');
  await appendFile(join(home, 'postgres', 'data', 'postgresql.conf'), 'no_such_setting = 1\n');
  await assert.rejects(startPlatform({ ...options(), servers: new Set(['postgres']) }), {
    name: 'PlatformError',
    message: /PostgreSQL ended while starting \(exit code 1\).*unrecognized configuration parameter "no_such_setting"/s,
  });
  assert.ok((await platformStatus(home)).every(({ state }) => state === 'stopped'));
});

test('progress names each server with its port and time', () => {
  for (const title of ['PostgreSQL', 'Kafka', 'Schema registry']) {
    const ready = new RegExp(`^${title} ready on 127\\.0\\.0\\.1:\\d+ \\(\\d+\\.\\d s\\)$`);
    assert.ok(
      messages.some((message) => ready.test(message)),
      title,
    );
  }
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'waited 10 s in vain');
    await sleep(50);
  }
}
