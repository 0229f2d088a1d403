/** How a server starts, is waited for, and stops. */
import { open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asError } from '../runtime/reason.ts';
import { PlatformError } from './platform-error.ts';
import { isPortFree } from './ports.ts';
import { endProcess, spawnServer } from './process.ts';
import { isAlive } from '../runtime/process-identity.ts';
import type { ProcessEnd, SpawnedServer } from './process.ts';
import type { ProcessIdentity } from '../runtime/process-identity.ts';
import { removeRunRecord, writeRunRecord } from './run-record.ts';
import type { Launch, Server, ServerContext } from './server.ts';
import { folder } from './state.ts';

/** A broker that was killed checks its log before it answers, and Postgres its WAL: minutes, where there is much of it. */
const READY_MS = 900_000;
/** How often somebody who waits for that is told. */
const TELL_MS = 30_000;
const RETRY_MS = 15_000;
const STOP_MS = 20_000;
const PORT_MS = 2_000;
const MAX_LOG_BYTES = 20 * 1024 * 1024;

/**
 * Prepares and starts one server, and returns once it answers requests. `onSpawn` hears of each process as soon as it
 * exists, before it is ready. @throws PlatformError quoting the log.
 */
export async function startServer(
  server: Server,
  context: ServerContext,
  owner: ProcessIdentity | null,
  onSpawn: (identity: ProcessIdentity) => void,
): Promise<SpawnedServer> {
  const launch = await server.prepare(context);
  const { home, state, progress } = context;
  const started = performance.now();
  for (;;) {
    await requireFreePorts(server, context);
    const attempt = await attemptStart(server, launch, context, owner, onSpawn);
    if ('spawned' in attempt) {
      const [port] = server.ports(state);
      progress(`${server.title} ready on 127.0.0.1:${port} (${seconds(performance.now() - started)})`);
      return attempt.spawned;
    }
    await removeRunRecord(home, server.name);
    const canRetry = server.retryWhenLogged !== undefined && attempt.log.includes(server.retryWhenLogged);
    if (!canRetry || performance.now() - started > RETRY_MS) throw new PlatformError(attempt.failure);
    await sleep(200);
  }
}

type Attempt = { readonly spawned: SpawnedServer } | { readonly failure: string; readonly log: string };

async function attemptStart(
  server: Server,
  launch: Launch,
  context: ServerContext,
  owner: ProcessIdentity | null,
  onSpawn: (identity: ProcessIdentity) => void,
): Promise<Attempt> {
  const { home } = context;
  const logFile = join(await folder(home, 'logs'), `${server.name}.log`);
  const logStart = await rotate(logFile);
  const spawned = await spawnServer(launch, logFile);
  onSpawn(spawned.identity);
  await writeRunRecord(home, server.name, { ...spawned.identity, owner });
  const raceOver = new AbortController();
  const abandoned = AbortSignal.any([raceOver.signal, ...(context.signal ? [context.signal] : [])]);
  const outcome = await Promise.race([spawned.ended, readiness(server, context, abandoned)]);
  raceOver.abort();
  if (outcome === 'ready') return { spawned };
  if (outcome instanceof Error) await endProcess(spawned.identity, server.stopSignal, STOP_MS);
  if (context.signal?.aborted === true) await removeRunRecord(home, server.name);
  context.signal?.throwIfAborted();
  const log = await readFrom(logFile, logStart);
  const what =
    outcome instanceof Error
      ? `did not answer within ${seconds(READY_MS)} (${outcome.message}) and was stopped`
      : `ended while starting (${describeEnd(outcome)})`;
  return { failure: `${server.title} ${what}. The last lines of ${logFile}:\n${lastLines(log, 12)}`, log };
}

/** Probes until one succeeds; the last error once the time is over or the caller lost interest. */
async function readiness(
  { title, probe }: Server,
  { state, progress }: ServerContext,
  abandoned: AbortSignal,
): Promise<'ready' | Error> {
  const started = performance.now();
  for (let told = 0; ;) {
    try {
      await probe(state);
      return 'ready';
    } catch (cause) {
      const waited = performance.now() - started;
      if (abandoned.aborted || waited > READY_MS) return asError(cause);
      if (waited > TELL_MS * (told + 1)) {
        told += 1;
        progress(`${title} is starting for ${seconds(waited)}; after a crash it checks its data first`);
      }
      await sleep(100);
    }
  }
}

/** Stops a server in an orderly way, by force after 20 s, and removes its pid file. */
export async function stopServer(
  server: Server,
  identity: ProcessIdentity,
  home: string,
  progress: (message: string) => void,
): Promise<void> {
  if (!(await isAlive(identity))) {
    await removeRunRecord(home, server.name);
    return;
  }
  const orderly = await endProcess(identity, server.stopSignal, STOP_MS);
  await removeRunRecord(home, server.name);
  progress(
    orderly ? `${server.title} stopped` : `${server.title} did not stop within ${seconds(STOP_MS)} and was killed`,
  );
}

/** How a process ended, for a sentence. */
export function describeEnd({ code, signal }: ProcessEnd): string {
  return signal === null ? `exit code ${code ?? 'unknown'}` : `signal ${signal}`;
}

async function requireFreePorts(server: Server, { home, state }: ServerContext): Promise<void> {
  for (const port of server.ports(state)) {
    if (!(await isSoonFree(port))) {
      throw new PlatformError(
        `Port ${port} on 127.0.0.1, which ${server.title} uses in ${home}, is taken by another program: stop that program, or change the port in ${join(home, 'platform.json')}.`,
      );
    }
  }
}

/** Threads of a killed process end one by one, and the last one lets go of its ports: a moment after the process counts as gone. */
async function isSoonFree(port: number): Promise<boolean> {
  const giveUp = performance.now() + PORT_MS;
  let free = await isPortFree(port);
  for (; !free && performance.now() < giveUp; free = await isPortFree(port)) await sleep(50);
  return free;
}

/** Moves a large log aside (one older log is kept) and returns where this start's lines will begin. */
async function rotate(logFile: string): Promise<number> {
  const size = (await stat(logFile).catch(() => undefined))?.size ?? 0;
  if (size <= MAX_LOG_BYTES) return size;
  await rename(logFile, `${logFile}.1`);
  return 0;
}

async function readFrom(path: string, start: number): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(Math.min(size - start, 65_536)),
      position: Math.max(start, size - 65_536),
    });
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}
