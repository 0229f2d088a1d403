import { open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PlatformError } from './platform-error.ts';
import { isPortFree } from './ports.ts';
import {
  endProcess,
  isAlive,
  spawnServer,
  type ProcessEnd,
  type ProcessIdentity,
  type SpawnedServer,
} from './process.ts';
import { removeRunRecord, writeRunRecord } from './run-record.ts';
import type { Launch, Server, ServerContext } from './server.ts';
import { folder } from './state.ts';

const readyWithinMs = 90_000;
const retryWithinMs = 15_000;
const stopGraceMs = 20_000;
const portGraceMs = 2_000;
const largestLogBytes = 20 * 1024 * 1024;

/**
 * Prepares and starts one server, and returns once it answers requests. `onSpawn` hears of each process as soon as it
 * exists, before it is ready. Throws PlatformError quoting the log.
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
    if (!canRetry || performance.now() - started > retryWithinMs) throw new PlatformError(attempt.failure);
    await sleep(200);
  }
}

type Attempt = { readonly spawned: SpawnedServer } | { readonly failure: string; readonly log: string };

async function attemptStart(
  server: Server,
  launch: Launch,
  { home, state }: ServerContext,
  owner: ProcessIdentity | null,
  onSpawn: (identity: ProcessIdentity) => void,
): Promise<Attempt> {
  const logFile = join(await folder(home, 'logs'), `${server.name}.log`);
  const logStart = await rotate(logFile);
  const spawned = await spawnServer(launch, logFile);
  onSpawn(spawned.identity);
  await writeRunRecord(home, server.name, { ...spawned.identity, owner });
  const raceOver = new AbortController();
  const outcome = await Promise.race([spawned.ended, readiness(() => server.probe(state), raceOver.signal)]);
  raceOver.abort();
  if (outcome === 'ready') return { spawned };
  if (outcome instanceof Error) await endProcess(spawned.identity, server.stopSignal, stopGraceMs);
  const log = await readFrom(logFile, logStart);
  const what =
    outcome instanceof Error
      ? `did not answer within ${seconds(readyWithinMs)} (${outcome.message}) and was stopped`
      : `ended while starting (${describeEnd(outcome)})`;
  return { failure: `${server.title} ${what}. The last lines of ${logFile}:\n${lastLines(log, 12)}`, log };
}

/** Probes until one succeeds; the last error once the time is over or the caller lost interest. */
async function readiness(probe: () => Promise<void>, abandoned: AbortSignal): Promise<'ready' | Error> {
  const deadline = performance.now() + readyWithinMs;
  for (;;) {
    try {
      await probe();
      return 'ready';
    } catch (cause) {
      const isOver = abandoned.aborted || performance.now() > deadline;
      if (isOver) return cause instanceof Error ? cause : new Error(String(cause));
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
  const orderly = await endProcess(identity, server.stopSignal, stopGraceMs);
  await removeRunRecord(home, server.name);
  progress(
    orderly ? `${server.title} stopped` : `${server.title} did not stop within ${seconds(stopGraceMs)} and was killed`,
  );
}

/** How a process ended, for a sentence. */
export const describeEnd = ({ code, signal }: ProcessEnd): string =>
  signal === null ? `exit code ${code ?? 'unknown'}` : `signal ${signal}`;

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
  const giveUp = performance.now() + portGraceMs;
  let free = await isPortFree(port);
  for (; !free && performance.now() < giveUp; free = await isPortFree(port)) await sleep(50);
  return free;
}

/** Moves a large log aside (one older log is kept) and returns where this start's lines will begin. */
async function rotate(logFile: string): Promise<number> {
  const size = (await stat(logFile).catch(() => undefined))?.size ?? 0;
  if (size <= largestLogBytes) return size;
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

const lastLines = (text: string, count: number): string => text.trimEnd().split('\n').slice(-count).join('\n');

const seconds = (milliseconds: number): string => `${(milliseconds / 1_000).toFixed(1)} s`;
