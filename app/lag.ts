/** How far each component is behind the end of its topics. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import type { Pool } from 'pg';
import type { KafkaConfig, Servers } from '../config.ts';
import { processors, projections } from '../pipeline.ts';
import { kafkajsClient } from '../runtime/kafka-clients.ts';
import { mayPass } from '../runtime/may-pass.ts';
import { openWatermarks } from '../runtime/watermarks.ts';
import { topics } from '../topology.ts';
import { UsageError } from './terminal.ts';

const STALLED_MS = 60_000;
const LOOK_MS = 150;

/** Records between a component's position and the end of a topic, over all partitions. */
export interface Lag {
  readonly component: string;
  readonly topic: string;
  readonly end: number;
  readonly lag: number;
  /** Records that the component has processed and the topic has lost: 0 except after a power cut or when the topic was created again. */
  readonly ahead: number;
}

/** A component's position in a topic, by partition: the end of the topic, and the next offset to read. */
interface Position {
  readonly component: string;
  readonly topic: string;
  readonly ends: ReadonlyMap<number, number>;
  readonly next: ReadonlyMap<number, number>;
}

/** Looks at topics and components repeatedly, on open connections. */
interface Observer {
  look(): Promise<Look>;
  close(): Promise<void>;
}

interface Look {
  /** Every component, in pipeline order; processors' positions are in Kafka, projections' in Postgres. */
  readonly positions: readonly Position[];
  /** The ends of a topic, by partition; requested once per look. */
  readonly endsOf: EndsOf;
}

type EndsOf = (topic: string) => Promise<ReadonlyMap<number, number>>;

/** Reads the lag of every component. */
export function readLag(servers: Pick<Servers, 'kafka'>, pool: Pool): Promise<Lag[]> {
  return lookOnce(servers, pool, ({ positions }) => Promise.resolve(positions.map(lagOf)));
}

/** The components that are behind, for a status line. */
export function lagLine(lags: readonly Lag[]): string {
  const behind = lags.filter(({ lag }) => lag > 0).map(({ component, lag }) => `${component} ${lag}`);
  return behind.length === 0 ? 'Nothing is left to process.' : `Left to process: ${behind.join(', ')}`;
}

/** Reads the lag of every component, and the end of every topic: the sum over its partitions. */
export function readLagAndEnds(
  servers: Pick<Servers, 'kafka'>,
  pool: Pool,
): Promise<{ readonly lags: readonly Lag[]; readonly ends: Readonly<Record<string, number>> }> {
  return lookOnce(servers, pool, async ({ positions, endsOf }) => {
    const ends = Object.values(topics).map(async ({ name }) => [name, sum((await endsOf(name)).values())] as const);
    return { lags: positions.map(lagOf), ends: Object.fromEntries(await Promise.all(ends)) };
  });
}

async function lookOnce<T>({ kafka }: Pick<Servers, 'kafka'>, pool: Pool, use: (look: Look) => Promise<T>): Promise<T> {
  const observer = await openObserver(kafka, pool);
  try {
    return await use(await observer.look());
  } finally {
    await observer.close();
  }
}

async function openObserver(kafka: KafkaConfig, pool: Pool): Promise<Observer> {
  const admin = kafkajsClient(kafka, 'samvad-lag').admin();
  const watermarks = await openWatermarks(kafka, 'samvad-lag');
  const close = async () => {
    await admin.disconnect();
    await watermarks.close();
  };
  try {
    await admin.connect();
  } catch (error) {
    await close();
    throw error;
  }
  const ask: EndsOf = async (topic) =>
    new Map([...(await watermarks.ofAll(topic))].map(([partition, { high }]) => [partition, high]));
  return {
    async look() {
      const known = new Map<string, ReturnType<EndsOf>>();
      const endsOf: EndsOf = (topic) => {
        const ends = known.get(topic) ?? ask(topic);
        known.set(topic, ends);
        return ends;
      };
      return { positions: await positionsOf(admin, pool, endsOf), endsOf };
    },
    close,
  };
}

/** Ends are read after all positions, so that records that arrive in between do not put a position ahead of its end. */
async function positionsOf(admin: Admin, pool: Pool, endsOf: EndsOf): Promise<Position[]> {
  const found: Omit<Position, 'ends'>[] = [];
  for (const { name, inputs } of processors) {
    const committed = await admin.fetchOffsets({ groupId: name, topics: inputs.map(({ topic }) => topic.name) });
    for (const { topic, partitions } of committed) {
      const next = new Map(partitions.map(({ partition, offset }) => [partition, Number(offset)]));
      found.push({ component: name, topic, next });
    }
  }
  const { rows } = await pool.query<{ projection: string; partition: number; next_offset: string }>(
    'SELECT projection, partition, next_offset FROM projection_offsets',
  );
  for (const { name, topic } of projections) {
    const next = new Map(
      rows.filter((row) => row.projection === name).map((row) => [row.partition, Number(row.next_offset)]),
    );
    found.push({ component: name, topic: topic.name, next });
  }
  const positions: Position[] = [];
  for (const position of found) positions.push({ ...position, ends: await endsOf(position.topic) });
  return positions;
}

function lagOf({ component, topic, ends, next }: Position): Lag {
  let [lag, ahead] = [0, 0];
  for (const [partition, high] of ends) {
    const behind = high - Math.max(0, next.get(partition) ?? 0);
    lag += Math.max(0, behind);
    ahead += Math.max(0, -behind);
  }
  return { component, topic, end: sum(ends.values()), lag, ahead };
}

function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((total, number) => total + number, 0);
}

/**
 * Positions of all components, repeatedly; undefined when a server was down.
 * @throws the read error when a server is down for a minute, and a permanent error at once.
 */
async function* looks(
  { kafka }: Pick<Servers, 'kafka'>,
  pool: Pool,
  signal?: AbortSignal,
): AsyncGenerator<readonly Position[] | undefined, never> {
  let observer: Observer | undefined;
  try {
    for (let seenAt = Date.now(); ; await sleep(LOOK_MS)) {
      signal?.throwIfAborted();
      let positions: readonly Position[] | undefined;
      try {
        observer ??= await openObserver(kafka, pool);
        ({ positions } = await observer.look());
        seenAt = Date.now();
      } catch (error) {
        if (!mayPass(error) || Date.now() - seenAt > STALLED_MS) throw error;
        await observer?.close();
        observer = undefined;
      }
      yield positions;
    }
  } finally {
    await observer?.close();
  }
}

/**
 * Waits until nothing is left to process. Components are read in pipeline order, so when two looks in a row find all of them at their
 * ends, no record is in transit between them either.
 * @throws UsageError when components are behind and nothing has moved for a minute; the read error when a server is down for a minute.
 */
export async function untilCaughtUp(
  servers: Pick<Servers, 'kafka'>,
  pool: Pool,
  onLag: (lags: readonly Lag[]) => void = () => undefined,
): Promise<void> {
  let quiet = 0;
  const stalled = stallWatch();
  for await (const positions of looks(servers, pool)) {
    if (!positions) {
      quiet = 0; // records may have moved meanwhile
      continue;
    }
    const lags = positions.map(lagOf);
    onLag(lags);
    const behind = lags.filter(({ lag, ahead }) => lag + ahead > 0).map(({ component }) => component);
    if (stalled(lags) && behind.length > 0)
      throw new UsageError(
        `Nothing has moved for a minute, and these are behind, or ahead of their log: ${[...new Set(behind)].join(', ')}. Are they running?`,
      );
    quiet = behind.length === 0 ? quiet + 1 : 0;
    if (quiet === 2) return;
  }
}

/**
 * Waits until all records that were in the log at the call are in the tables, even while more arrive. In pipeline order, each component
 * must pass the ends that its topics have when its turn comes. A record that was in the wrong partition is sent again and not waited for.
 * @throws as `untilCaughtUp`, and the reason of `signal` when it is aborted.
 */
export async function untilPassed(servers: Pick<Servers, 'kafka'>, pool: Pool, signal?: AbortSignal): Promise<void> {
  let waiting: readonly Pick<Position, 'component' | 'topic'>[] | undefined;
  let ends: ReadonlyMap<number, number> | undefined;
  let stalled = stallWatch();
  for await (const positions of looks(servers, pool, signal)) {
    if (!positions) continue;
    waiting ??= positions;
    for (;;) {
      const [first, ...others] = waiting;
      if (!first) return;
      const position = positions.find(({ component, topic }) => component === first.component && topic === first.topic);
      ends ??= position?.ends ?? new Map<number, number>();
      if ([...ends].some(([partition, end]) => Math.max(0, position?.next.get(partition) ?? 0) < end)) {
        if (stalled([...(position?.next ?? [])]))
          throw new UsageError(`${first.component} is behind and has not moved for a minute. Is it running?`);
        break;
      }
      [waiting, ends, stalled] = [others, undefined, stallWatch()];
    }
  }
}

/** Returns a function that tells whether its argument has been the same for a minute. */
function stallWatch(): (shown: unknown) => boolean {
  let [before, movedAt] = ['', Date.now()];
  return (shown) => {
    const now = JSON.stringify(shown);
    if (now !== before) [before, movedAt] = [now, Date.now()];
    return Date.now() - movedAt > STALLED_MS;
  };
}
