/** Real servers for tests: Kafka, registry and Postgres on a folder of their own. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Pool } from 'pg';
import { prepare } from '../../app/environment.ts';
import type { Prepared } from '../../app/environment.ts';
import { readConfig } from '../../config.ts';
import { startPlatform } from '../../platform/platform.ts';
import type { RunningPlatform } from '../../platform/platform.ts';
import { serverNames } from '../../platform/server.ts';
import type { ServerName } from '../../platform/server.ts';
import { migrate } from '../../runtime/migrate.ts';
import { openPool } from '../../runtime/postgres-pool.ts';

/** A started stack. */
export interface Stack {
  readonly platform: RunningPlatform;
  readonly prepared: Prepared;
  readonly home: string;
  /** The environment in which a child process finds these servers. */
  readonly env: Record<string, string>;
  stop(): Promise<void>;
}

/** Postgres alone, with its tables. */
export interface Database {
  readonly databaseUrl: string;
  readonly pool: Pool;
  stop(): Promise<void>;
}

/**
 * Calls all `ends`, whichever of them fail: after a failed start some things do not exist, and the others must still be stopped.
 * @throws the first failure.
 */
export async function endAll(...ends: readonly (() => unknown)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const end of ends) {
    try {
      await end();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** Starts Postgres and creates tables. */
export async function startDatabase(): Promise<Database> {
  const { home, platform } = await startServers(['postgres']);
  const { databaseUrl = '' } = platform.addresses;
  await migrate(databaseUrl);
  const pool = openPool(databaseUrl);
  return {
    databaseUrl,
    pool,
    async stop() {
      await pool.end();
      await platform.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

const platforms: RunningPlatform[] = [];

/** Kills all servers on SIGTERM, which ends a test file that takes too long without calling its hooks. */
function endServers(): void {
  for (const platform of platforms)
    for (const name of serverNames)
      if (name in platform.pids) platform.kill(name, name === 'postgres' ? 'SIGQUIT' : 'SIGKILL');
  process.exit(1);
}

async function startServers(names: readonly ServerName[]) {
  const home = await mkdtemp(path.join(os.tmpdir(), 'samvad-test-'));
  await chmod(home, 0o755); // Postgres may run as another user
  const { cache } = readConfig();
  const servers = new Set(names);
  const platform = await startPlatform({ home, cache, servers, detached: false, progress: () => undefined });
  if (platforms.length === 0) process.once('SIGTERM', endServers);
  platforms.push(platform);
  return { home, cache, platform };
}

/** Kafka alone, without topics. */
export async function startKafka(): Promise<{
  readonly brokers: string;
  readonly cache: string;
  stop(): Promise<void>;
}> {
  const { home, cache, platform } = await startServers(['kafka']);
  return {
    brokers: platform.addresses.kafkaBrokers ?? '',
    cache,
    async stop() {
      await platform.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** Starts the three servers and creates topics, schemas and tables. */
export async function startStack(): Promise<Stack> {
  const { home, cache, platform } = await startServers(serverNames);
  const { kafkaBrokers = '', schemaRegistryUrl = '', databaseUrl = '' } = platform.addresses;
  const env = {
    KAFKA_BROKERS: kafkaBrokers,
    SCHEMA_REGISTRY_URL: schemaRegistryUrl,
    DATABASE_URL: databaseUrl,
    SAMVAD_HOME: home,
    SAMVAD_REPORTS: path.join(home, 'reports'),
    SAMVAD_LOG_LEVEL: 'warn',
    LABEL_STUDIO_ENV_FILE: '', // not that of the person who runs the tests
  };
  const config = { ...readConfig(env), cache };
  const prepared = await prepare({
    config,
    servers: { kafka: { brokers: kafkaBrokers }, schemaRegistryUrl, databaseUrl },
    stop: () => platform.stop(),
  }).catch(async (error: unknown) => {
    await platform.stop(); // it would keep the process of a failed test alive
    throw error;
  });
  return {
    platform,
    prepared,
    home,
    env,
    async stop() {
      await prepared.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}
