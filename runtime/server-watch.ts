/** Checks every few seconds whether the servers answer, and logs when that changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { Servers } from '../config.ts';
import { kafkajsClient } from './kafka-clients.ts';
import { reasonOf } from './reason.ts';
import { askRegistry } from './schema-registry.ts';
import { within } from './within.ts';

/** The servers, as `/readyz` and the log name them. */
export const watchedServers = ['kafka', 'schema-registry', 'postgres'] as const;

/** One of the three. */
export type WatchedServer = (typeof watchedServers)[number];

/** Whether the servers answer. */
export interface ServerWatch {
  /** The servers that are checked. */
  readonly watched: readonly WatchedServer[];
  /** `ok`, or a sentence with the reason; as of a few seconds ago at most. */
  state(server: WatchedServer): string;
  /** Resolves when the last check has ended. */
  stop(): Promise<void>;
}

const EVERY_MS = 2000;
const PATIENCE_MS = 3000;

/** Starts the checks; Postgres is checked only if it has an address. Before its first answer a server counts as not answering. */
export function watchServers(servers: Servers, pool: Pool, log: Logger): ServerWatch {
  const stopping = new AbortController();
  const kafka = kafkaProbe(servers);
  const probes: Record<WatchedServer, () => Promise<unknown>> = {
    kafka: () => kafka.ask(),
    'schema-registry': () => askRegistry(servers.schemaRegistryUrl, PATIENCE_MS),
    postgres: () => pool.query('SELECT 1'),
  };
  const states = new Map<WatchedServer, string>();
  const watched = watchedServers.filter((server) => server !== 'postgres' || servers.databaseUrl !== '');
  const watches = watched.map((server) => watch(server, probes[server], states, log, stopping.signal));
  return {
    watched,
    state: (server) => states.get(server) ?? 'It has not been asked yet.',
    async stop() {
      stopping.abort();
      await Promise.all(watches);
      await kafka.close();
    },
  };
}

async function watch(
  server: WatchedServer,
  ask: () => Promise<unknown>,
  states: Map<WatchedServer, string>,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  let awaySince: number | undefined;
  while (!signal.aborted) {
    try {
      await within(PATIENCE_MS, ask(), noAnswer);
      states.set(server, 'ok');
      if (awaySince !== undefined)
        log.info({ server, seconds: (Date.now() - awaySince) / 1000 }, 'server answers again');
      awaySince = undefined;
    } catch (error) {
      const reason = reasonOf(error);
      states.set(server, `It does not answer: ${reason}.`);
      if (awaySince === undefined) log.warn({ server, reason }, 'server does not answer');
      awaySince ??= Date.now();
    }
    await sleep(EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Keeps a connection while it works and replaces it after a failure: kafkajs does not always recover from the end of a broker by itself. */
function kafkaProbe({ kafka }: Servers) {
  let admin: Admin | undefined;
  const close = async () => {
    const old = admin;
    admin = undefined;
    await old?.disconnect().catch(() => undefined);
  };
  return {
    close,
    async ask() {
      try {
        if (!admin) {
          const patience = { connectionTimeout: PATIENCE_MS, requestTimeout: PATIENCE_MS, retry: { retries: 0 } };
          admin = kafkajsClient(kafka, 'samvad-watch', patience).admin();
          await admin.connect();
        }
        await admin.describeCluster();
      } catch (error) {
        await close();
        throw error;
      }
    },
  };
}

function noAnswer(): Error {
  return new Error(`no answer within ${PATIENCE_MS / 1000} s`);
}
