/** The worker processes of the crash test: kills and pauses them, and checks the effects. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Stack } from '../integration/stack.ts';

/** What was done to the workers, and with which effect. */
export interface WorkerCounts {
  /** By SIGKILL. */
  readonly kills: number;
  /** By SIGSTOP. */
  readonly pauses: number;
  /** Pauses in which another worker took over all partitions of the paused one before that could continue. */
  readonly takeOvers: number;
}

/** Processes that run the pipeline, by slot. */
export interface Workers {
  readonly counts: WorkerCounts;
  /** Signals to a process that had ended, unexpected ends, and missing take-overs, each as a sentence. */
  readonly broken: readonly string[];
  /** Resolves when each worker was given partitions since the last pause. */
  untilAllHold(): Promise<void>;
  pause(slot: number): void;
  /** Kills one with SIGKILL and starts another in its slot. */
  replace(slot: number): Promise<void>;
  /** Resolves when the worker of `slot` has taken over what the paused ones held, and each partition of each projection. */
  untilTakenOverBy(slot: number, paused: readonly number[]): Promise<void>;
  goOn(paused: readonly number[]): void;
  /** Ends all of them by force. */
  end(): void;
}

interface Worker {
  readonly process: ChildProcess;
  readonly log: string;
  /** The size of its log in bytes when the last pause ended, or when the worker started if that was later. */
  seen: number;
  /** Whether the test has killed it. */
  killed: boolean;
}

/** A group gives away the partitions of a member that is silent for 6 s; on an idle machine, another has them within about ten. */
const LIMIT_MS = 240_000;
const LOOK_MS = 200;

/** Starts `count` workers on the program in the folder `source`. */
export function startWorkers(count: number, source: string, stack: Stack): Workers {
  const counts = { kills: 0, pauses: 0, takeOvers: 0 };
  const broken: string[] = [];
  const workers: Worker[] = [];
  const epochsAtStart = new Map<number, ReadonlyMap<string, number>>();

  function start(slot: number): void {
    const log = logOf(stack, slot);
    const file = openSync(log, 'a');
    const child = spawn(process.execPath, [path.join(source, 'bin', 'samvad.js'), 'run', 'pipeline'], {
      cwd: source,
      env: { ...process.env, ...stack.env, SAMVAD_LOG_LEVEL: 'debug' },
      stdio: ['ignore', file, file],
    });
    closeSync(file);
    const worker: Worker = { process: child, log, seen: statSync(log).size, killed: false };
    child.once('exit', (code, signal) => {
      if (worker.killed) return;
      broken.push(`Worker ${String(slot)} ended by itself, with ${signal ?? `code ${String(code)}`}.`);
      start(slot);
    });
    workers[slot] = worker;
  }

  function signal(slot: number, name: NodeJS.Signals): boolean {
    const met = workers[slot]?.process.kill(name) === true;
    if (!met) broken.push(`Worker ${String(slot)} had ended before it got ${name}.`);
    return met;
  }

  /** Waits until `missing` returns an empty string instead of what is missing. Returns whether that happened in time. */
  async function demand(missing: () => string | Promise<string>): Promise<boolean> {
    for (const deadline = Date.now() + LIMIT_MS; ; await sleep(LOOK_MS)) {
      const still = await missing();
      if (still === '') return true;
      if (Date.now() < deadline) continue;
      broken.push(`After ${String(LIMIT_MS / 1000)} s ${still}.`);
      return false;
    }
  }

  for (let slot = 0; slot < count; slot++) start(slot);
  return {
    counts,
    broken,
    async untilAllHold() {
      await demand(() => {
        const without = workers.flatMap((worker, slot) => (takenOver(worker).size === 0 ? slot : []));
        return without.length === 0 ? '' : `these workers had no partitions: ${without.join(', ')}`;
      });
    },
    pause(slot) {
      if (signal(slot, 'SIGSTOP')) counts.pauses++;
    },
    async replace(slot) {
      const worker = workers[slot];
      if (worker) worker.killed = true;
      if (signal(slot, 'SIGKILL')) counts.kills++;
      epochsAtStart.set(slot, await readEpochs(stack));
      start(slot);
    },
    async untilTakenOverBy(slot, paused) {
      const before = epochsAtStart.get(slot) ?? new Map<string, number>();
      const held = paused.map((one) => workers[one]).map((worker) => (worker ? takenOver(worker) : new Set<string>()));
      const done = await demand(async () => {
        const has = workers[slot] ? takenOver(workers[slot]) : new Set<string>();
        const missing = held.flatMap((partitions) => [...partitions].filter((partition) => !has.has(partition)));
        for (const [place, epoch] of await readEpochs(stack))
          if (epoch <= (before.get(place) ?? -1)) missing.push(place);
        return missing.length === 0 ? '' : `worker ${String(slot)} had not taken over: ${missing.join(', ')}`;
      });
      if (done) counts.takeOvers += held.filter((partitions) => partitions.size > 0).length;
    },
    goOn(paused) {
      for (const worker of workers) worker.seen = statSync(worker.log).size;
      for (const slot of paused) signal(slot, 'SIGCONT');
    },
    end() {
      for (const worker of workers) {
        worker.killed = true;
        worker.process.kill('SIGKILL');
      }
    },
  };
}

/** The log of the workers of a slot. */
export function logOf({ home }: Pick<Stack, 'home'>, slot: number): string {
  return path.join(home, `worker-${String(slot)}.log`);
}

/** The partitions that the processors of a worker have taken over according to its log, as component and topic/partition. */
function takenOver({ log, seen }: Worker): ReadonlySet<string> {
  const found = new Set<string>();
  for (const line of readFileSync(log).subarray(seen).toString().split('\n')) {
    if (!line.includes('"partitions taken over"') || !line.endsWith('}')) continue; // the last one may be half written
    const { component, partitions } = JSON.parse(line) as { component: string; partitions: readonly string[] };
    for (const partition of partitions) found.add(`${component} ${partition}`);
  }
  return found;
}

/** The epoch of each partition of each projection, which grows when it is taken over. */
async function readEpochs({ prepared: { pool } }: Stack): Promise<ReadonlyMap<string, number>> {
  const { rows } = await pool.query<{ place: string; epoch: string }>(
    `SELECT projection || '/' || topic || '/' || partition AS place, epoch FROM projection_offsets`,
  );
  return new Map(rows.map(({ place, epoch }) => [place, Number(epoch)]));
}
