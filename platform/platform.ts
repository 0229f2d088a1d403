/** The embedded servers of a data folder: start, restart, stop, status. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { kafkaServer } from './kafka.ts';
import { describeEnd, startServer, stopServer } from './lifecycle.ts';
import { thisProcess, withLock } from './lock.ts';
import { PlatformError } from './platform-error.ts';
import { postgresServer } from './postgres.ts';
import { isAlive } from '../runtime/process-identity.ts';
import type { ProcessIdentity } from '../runtime/process-identity.ts';
import { signalProcess } from '../runtime/signal-process.ts';
import { registryServer } from './registry.ts';
import { readRunning } from './run-record.ts';
import { serverNames } from './server.ts';
import type { Server, ServerContext, ServerName } from './server.ts';
import { readOrCreateState, readState } from './state.ts';
import type { PlatformState } from './state.ts';

/** What clients connect to. The registry's URL is the base of its Confluent-compatible API. */
export interface PlatformAddresses {
  readonly kafkaBrokers: string;
  readonly schemaRegistryUrl: string;
  readonly databaseUrl: string;
}

/** Which servers to start, and where. */
export interface PlatformOptions {
  /** The data folder, such as `.samvad`. */
  readonly home: string;
  /** The folder of downloaded programs for all data folders, such as `~/.cache/samvad`. */
  readonly cache: string;
  readonly servers: ReadonlySet<ServerName>;
  /** Detached servers run until `stopPlatform`; others until `stop`, or until this process exits. */
  readonly detached: boolean;
  readonly progress: (message: string) => void;
  /** Aborts a start. */
  readonly signal?: AbortSignal | undefined;
}

/** Servers that run, until `stop`. */
export interface RunningPlatform {
  /** Rejects with PlatformError when a server that this process started ends unexpectedly. */
  readonly failed: Promise<never>;
  /** The addresses of the requested servers. */
  readonly addresses: Partial<PlatformAddresses>;
  readonly pids: Readonly<Partial<Record<ServerName, number>>>;
  /** Stops the servers in order; detached ones that ran before this start keep running. */
  stop(): Promise<void>;
  /** Sends a signal to one server, for crash tests. */
  kill(name: ServerName, signal: NodeJS.Signals): void;
  /** Stops one server if it still runs, and starts it on the same port and data. */
  restart(name: ServerName): Promise<void>;
}

/** The status of a server of a data folder. */
export type ServerStatus =
  | {
      readonly server: ServerName;
      readonly state: 'running';
      readonly pid: number;
      readonly address: string;
      readonly detached: boolean;
    }
  | { readonly server: ServerName; readonly state: 'stopped' };

const servers: Readonly<Record<ServerName, Server>> = {
  kafka: kafkaServer,
  registry: registryServer,
  postgres: postgresServer,
};

/** A server of this platform. `found` means that it already ran detached. */
interface Member {
  readonly identity: ProcessIdentity;
  readonly found: boolean;
}

/** Changes as servers start, stop and restart. */
type Members = Map<ServerName, Member>;

/** The state of a start. */
interface Started {
  readonly context: ServerContext;
  readonly owner: ProcessIdentity | null;
  readonly members: Members;
  readonly failed: Promise<never>;
  readonly fail: (error: PlatformError) => void;
}

/**
 * Starts the servers in parallel and returns once all of them answer. Servers left over by a killed process are stopped
 * first; detached ones that run already are used. @throws PlatformError, after stopping what was started.
 */
export async function startPlatform(options: PlatformOptions): Promise<RunningPlatform> {
  const { detached, progress, signal } = options;
  const home = resolve(options.home);
  await mkdir(home, { recursive: true });
  const owner = detached ? null : await thisProcess();
  const names = serverNames.filter((name) => options.servers.has(name));
  return withLock(
    join(home, 'start.lock'),
    (holder) => {
      progress(`waiting for process ${holder}, which is starting the servers in ${home}`);
    },
    signal,
    async () => {
      const context: ServerContext = {
        home,
        cache: resolve(options.cache),
        state: await readOrCreateState(home),
        progress,
        signal,
      };
      const members = await settleLeftovers(home, names, progress);
      let fail: (error: PlatformError) => void = () => undefined;
      const failed = new Promise<never>((_, reject) => (fail = reject));
      failed.catch(() => undefined); // reported to callers that await it
      const started: Started = { context, owner, members, failed, fail };
      const endWithParent = (): void => {
        for (const [name, { identity, found }] of members)
          if (!found) signalProcess(identity.pid, servers[name].stopSignal);
      };
      if (!detached) process.once('exit', endWithParent);
      const stop = async (): Promise<void> => {
        for (const name of names) await stopMember(name, context, members);
        process.off('exit', endWithParent);
      };
      await startMissing(started, names).catch(async (cause: unknown) => {
        await stop();
        throw cause;
      });
      return runningPlatform(started, names, stop);
    },
  );
}

/** Stops servers of a killed process, and returns the detached servers that already run. */
async function settleLeftovers(
  home: string,
  names: readonly ServerName[],
  progress: (message: string) => void,
): Promise<Members> {
  const members: Members = new Map();
  for (const name of names) {
    const record = await readRunning(home, name);
    if (record === undefined) continue;
    if (record.owner === null) members.set(name, { identity: record, found: true });
    else if (await isAlive(record.owner))
      throw new PlatformError(
        `${ownedElsewhere(home, name, record.owner)}; stop that process first, or choose another data folder.`,
      );
    else {
      progress(`stopping a ${servers[name].title} that an interrupted run left behind (process ${record.pid})`);
      await stopServer(servers[name], record, home, progress);
    }
  }
  return members;
}

function ownedElsewhere(home: string, name: ServerName, owner: ProcessIdentity): string {
  return `${servers[name].title} in ${home} belongs to the running process ${owner.pid}`;
}

/** Starts the servers that don't run yet, in parallel, and throws the first error once each has started or failed. */
async function startMissing(started: Started, names: readonly ServerName[]): Promise<void> {
  const missing = names.filter((name) => !started.members.has(name));
  const results = await Promise.allSettled(missing.map((name) => startMember(name, started, started.owner, false)));
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  started.context.signal?.throwIfAborted();
}

async function startMember(
  name: ServerName,
  { context, members, fail }: Started,
  owner: ProcessIdentity | null,
  found: boolean,
): Promise<void> {
  const spawned = await startServer(servers[name], context, owner, (identity) =>
    members.set(name, { identity, found }),
  );
  void spawned.ended.then((end) => {
    if (members.get(name)?.identity !== spawned.identity) return;
    const told = `${servers[name].title} ended unexpectedly (${describeEnd(end)}); see ${join(context.home, 'logs', `${name}.log`)}`;
    context.progress(told);
    fail(new PlatformError(told));
  });
}

/** The member is removed first, so that its end is not reported as unexpected. */
async function stopMember(name: ServerName, { home, progress }: ServerContext, members: Members): Promise<void> {
  const member = members.get(name);
  if (member === undefined) return;
  members.delete(name);
  if (!member.found) await stopServer(servers[name], member.identity, home, progress);
}

function runningPlatform(started: Started, names: readonly ServerName[], stop: () => Promise<void>): RunningPlatform {
  const { context, owner, members, failed } = started;
  const member = (name: ServerName): Member => {
    const known = members.get(name);
    if (known === undefined)
      throw new PlatformError(`${servers[name].title} is not one of the servers that were started here.`);
    return known;
  };
  return {
    failed,
    addresses: addressesOf(context.state, names),
    get pids() {
      return Object.fromEntries([...members].map(([name, { identity }]) => [name, identity.pid]));
    },
    stop,
    kill(name, signal) {
      signalProcess(member(name).identity.pid, signal);
    },
    async restart(name) {
      const { identity, found } = member(name);
      members.delete(name);
      await stopServer(servers[name], identity, context.home, context.progress);
      await startMember(name, started, found ? null : owner, found).catch((cause: unknown) => {
        if (!members.has(name)) members.set(name, { identity, found }); // so that a restart can be tried again
        throw cause;
      });
    },
  };
}

function addressesOf(state: PlatformState, names: readonly ServerName[]): Partial<PlatformAddresses> {
  return {
    ...(names.includes('kafka') && { kafkaBrokers: kafkaServer.address(state) }),
    ...(names.includes('registry') && { schemaRegistryUrl: registryServer.address(state) }),
    ...(names.includes('postgres') && { databaseUrl: postgresServer.address(state) }),
  };
}

/** Stops the detached servers of a data folder, and those of a killed process. Never signals a process that it can't identify. */
export async function stopPlatform(folderPath: string, progress: (message: string) => void): Promise<void> {
  const home = resolve(folderPath);
  for (const name of serverNames) {
    const record = await readRunning(home, name);
    if (record === undefined) continue;
    if (record.owner !== null && (await isAlive(record.owner)))
      progress(`${ownedElsewhere(home, name, record.owner)}, which stops it when it ends`);
    else await stopServer(servers[name], record, home, progress);
  }
}

/** The addresses of the servers of a data folder that run. */
export async function runningAddresses(folderPath: string): Promise<Partial<PlatformAddresses>> {
  const state = await readState(resolve(folderPath));
  if (state === undefined) return {};
  const running = (await platformStatus(folderPath)).filter((status) => status.state === 'running');
  return addressesOf(
    state,
    running.map(({ server }) => server),
  );
}

/** The status of each server of a data folder. */
export async function platformStatus(folderPath: string): Promise<readonly ServerStatus[]> {
  const home = resolve(folderPath);
  const state = await readState(home);
  return Promise.all(
    serverNames.map(async (server): Promise<ServerStatus> => {
      const record = await readRunning(home, server);
      if (state === undefined || record === undefined) return { server, state: 'stopped' };
      return {
        server,
        state: 'running',
        pid: record.pid,
        address: servers[server].address(state),
        detached: record.owner === null,
      };
    }),
  );
}
