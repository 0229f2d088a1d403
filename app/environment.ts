/** Turns the configuration into prepared servers: embedded ones where none are configured, with topics, schemas and tables. */
import path from 'node:path';
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import { readConfig } from '../config.ts';
import type { Config, Servers } from '../config.ts';
import { openMeasurements } from '../http/measurements.ts';
import type { Measurements } from '../http/measurements.ts';
import { runningAddresses, startPlatform } from '../platform/platform.ts';
import type { PlatformAddresses } from '../platform/platform.ts';
import type { ServerName } from '../platform/server.ts';
import type { ProducerOptions } from '../producers/conversation-producer.ts';
import { keepToCluster } from '../runtime/cluster.ts';
import { kafkajsClient } from '../runtime/kafka-clients.ts';
import { openLog, secretsOf } from '../runtime/log.ts';
import { migrate } from '../runtime/migrate.ts';
import { openPool } from '../runtime/postgres-pool.ts';
import { topicEnds } from '../runtime/read-topic.ts';
import { openCodecs } from '../runtime/schema-registry.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { ensureTopics } from '../runtime/topics.ts';
import { openTracing } from '../runtime/tracing.ts';
import type { Tracing } from '../runtime/tracing.ts';
import { PARTITIONS, topics } from '../topology.ts';
import { openArtifactFolder } from '../trainer/artifacts.ts';
import type { ArtifactStore } from '../trainer/artifacts.ts';
import { openModelLog } from '../trainer/model-log.ts';
import type { ModelLogPort } from '../trainer/model-log.ts';
import { progress, UsageError } from './terminal.ts';

/** Servers that a command may use. */
export interface Environment {
  readonly config: Config;
  readonly servers: Servers;
  /** Stops the servers that this command started. */
  stop(): Promise<void>;
}

/** An environment for which this command may have started servers. */
export interface StartedEnvironment extends Environment {
  /** Rejects when a server that this command started ends unexpectedly. */
  readonly failed: Promise<never>;
}

/** `failed` of servers that this process has not started. */
const notOurs = (): Promise<never> => new Promise(() => undefined);

/** An environment with its clients; the servers have not been contacted yet. */
export interface Connected extends Environment {
  readonly pool: Pool;
  readonly log: Logger;
  readonly measurements: Measurements;
  readonly tracing: Tracing;
}

/** An environment whose topics, schemas and tables are in place. */
export interface Prepared extends Connected {
  readonly codecs: Codecs;
}

/** The part of an environment that is the log, for work that does not need Postgres. */
export interface LogEnvironment {
  readonly config: Config;
  readonly servers: Omit<Servers, 'databaseUrl'>;
}

/** The log with its topics and schemas in place. */
export interface PreparedLog extends LogEnvironment {
  readonly codecs: Codecs;
}

/** Starts embedded servers for those that are not configured, or uses those that `platform start` has started. Rejects when `signal` is aborted. */
export async function startEnvironment(config: Config, signal: AbortSignal): Promise<StartedEnvironment> {
  const missing = new Set<ServerName>([
    ...(config.kafka ? [] : ['kafka' as const]),
    ...(config.schemaRegistryUrl === undefined ? ['registry' as const] : []),
    ...(config.databaseUrl === undefined ? ['postgres' as const] : []),
  ]);
  if (missing.size === 0)
    return { config, servers: serversOf(config, {}), stop: () => Promise.resolve(), failed: notOurs() };
  const platform = await startPlatform({
    home: config.home,
    cache: config.cache,
    servers: missing,
    detached: false,
    progress,
    signal,
  });
  return {
    config,
    servers: serversOf(config, platform.addresses),
    stop: () => platform.stop(),
    failed: platform.failed,
  };
}

/**
 * The servers that run already, configured or embedded; without Postgres when `tables` is false.
 * @throws UsageError when a server is neither configured nor running.
 */
export async function findEnvironment(config: Config = readConfig(), { tables = true } = {}): Promise<Environment> {
  const running = await runningAddresses(config.home);
  const servers = tables ? serversOf(config, running) : { ...serversOf(config, running, OF_THE_LOG), databaseUrl: '' };
  return { config, servers, stop: () => Promise.resolve() };
}

/**
 * The prepared log of the servers that run already; Postgres may be down.
 * @throws UsageError when Kafka or the registry is neither configured nor running.
 */
export async function findLog(config: Config = readConfig()): Promise<PreparedLog> {
  const environment = {
    config,
    servers: serversOf(config, await runningAddresses(config.home), OF_THE_LOG),
  };
  return { ...environment, codecs: await prepareLog(environment) };
}

/** Works with the servers that run already, prepared, and closes the connections afterwards. */
export async function withPrepared<T>(work: (prepared: Prepared) => Promise<T>): Promise<T> {
  const prepared = await prepare(await findEnvironment());
  try {
    return await work(prepared);
  } finally {
    await prepared.stop();
  }
}

/** Works with the model log of `findLog`, and closes it afterwards. */
export async function onLog<T>(work: (log: ModelLogPort, prepared: PreparedLog) => Promise<T>): Promise<T> {
  const prepared = await findLog();
  const log = await openModelLog(prepared.servers.kafka, prepared.codecs);
  try {
    return await work(log, prepared);
  } finally {
    await log.close();
  }
}

/** The environment with its connection pool, measurements, tracing and logger. */
export function connect(environment: Environment): Connected {
  const pool = openPool(environment.servers.databaseUrl);
  const log = logOf(environment);
  const tracing = openTracing({ endpoint: environment.config.otlpEndpoint, log });
  return {
    ...environment,
    pool,
    measurements: openMeasurements(),
    tracing,
    log,
    async stop() {
      await tracing.stop();
      await pool.end();
      await environment.stop();
    },
  };
}

function logOf(environment: LogEnvironment): Logger {
  return openLog({ level: environment.config.logLevel, secrets: secretsOf(environment) });
}

/** Checks that the data folder belongs to this cluster, creates topics, registers schemas and writes the first event of the model log. Idempotent. */
export async function prepareLog(environment: LogEnvironment, log: Logger = logOf(environment)): Promise<Codecs> {
  const { config, servers } = environment;
  const admin = kafkajsClient(servers.kafka, 'samvad-setup');
  await keepToCluster(admin, config.home, folderOf(config, 'spool'));
  await ensureTopics(admin, Object.values(topics), PARTITIONS, config.replication);
  const codecs = await openCodecs(servers.schemaRegistryUrl, Object.values(topics), log);
  if ((await topicEnds(servers.kafka, topics.modelEvents.name)).size === 0)
    await (await openModelLog(servers.kafka, codecs)).close();
  return codecs;
}

/** Creates topics, registers schemas and migrates the database. Idempotent. Rejects when a server is down. */
export async function prepare(environment: Environment): Promise<Prepared> {
  const codecs = await prepareLog(environment);
  await migrate(environment.servers.databaseUrl);
  return { ...connect(environment), codecs };
}

/** How a producer of this process reaches the servers, and where it spools. */
export function producerOptions({ config, servers, log }: Connected): ProducerOptions {
  const { kafka, schemaRegistryUrl } = servers;
  return { kafka, schemaRegistryUrl, spoolFolder: folderOf(config, 'spool'), log };
}

/** The store of model files and reports. */
export function artifactsOf(config: Config): ArtifactStore {
  return openArtifactFolder(config.training.artifacts);
}

/** The folder in which a component keeps its local files. */
export function folderOf(config: Config, ...names: string[]): string {
  return path.join(config.home, ...names);
}

const TITLES: Readonly<Record<keyof Servers, string>> = {
  kafka: 'Kafka (KAFKA_BROKERS)',
  schemaRegistryUrl: 'the schema registry (SCHEMA_REGISTRY_URL)',
  databaseUrl: 'Postgres (DATABASE_URL)',
};

const OF_THE_LOG = ['kafka', 'schemaRegistryUrl'] as const;

/** The `needed` servers, by default all. @throws UsageError when the address of one is unknown. */
function serversOf<N extends keyof Servers = keyof Servers>(
  config: Config,
  addresses: Partial<PlatformAddresses>,
  needed: readonly N[] = Object.keys(TITLES) as N[],
): Pick<Servers, N> {
  const known = {
    kafka: config.kafka ?? (addresses.kafkaBrokers === undefined ? undefined : { brokers: addresses.kafkaBrokers }),
    schemaRegistryUrl: config.schemaRegistryUrl ?? addresses.schemaRegistryUrl,
    databaseUrl: config.databaseUrl ?? addresses.databaseUrl,
  };
  const absent = needed.filter((name) => known[name] === undefined).map((name) => TITLES[name]);
  if (absent.length === 0) return known as Servers;
  throw new UsageError(
    `Not running and not configured: ${absent.join(', ')}. Start them with \`samvad platform start\`, or set the variables.`,
  );
}
