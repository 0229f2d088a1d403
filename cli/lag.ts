/** How far each component is behind the end of what it reads. */
import type { Admin } from 'kafkajs';
import type { Pool } from 'pg';
import { processors, projections } from '../pipeline.ts';
import { kafkajsClient } from '../runtime/kafka-clients.ts';
import { mayPass } from '../runtime/may-pass.ts';
import { openWatermarks } from '../runtime/watermarks.ts';
import type { KafkaConfig, Servers } from '../config.ts';
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
}

/** Where a component is in a topic, by partition: the end of the topic, and the next offset that it reads. */
interface Position {
  readonly component: string;
  readonly topic: string;
  readonly ends: ReadonlyMap<number, number>;
  readonly next: ReadonlyMap<number, number>;
}

/** Reads the lag of every component. */
export async function readLag(servers: Pick<Servers, 'kafka'>, pool: Pool): Promise<Lag[]> {
  return (await readPositions(servers, pool)).map(lagOf);
}

/** Reads the lag of every component, and the end of every topic: the sum over its partitions. */
export async function readLagAndEnds(
  { kafka }: Pick<Servers, 'kafka'>,
  pool: Pool,
): Promise<{ readonly lags: readonly Lag[]; readonly ends: Readonly<Record<string, number>> }> {
  return withTopicEnds(kafka, async (admin, endsOf) => {
    const lags = (await positionsOf(admin, pool, endsOf)).map(lagOf);
    const ends = await Promise.all(
      Object.values(topics).map(async ({ name }) => [name, sum((await endsOf(name)).values())] as const),
    );
    return { lags, ends: Object.fromEntries(ends) };
  });
}

/** Every component, in pipeline order; processors' positions are in Kafka, projections' in Postgres. */
function readPositions({ kafka }: Pick<Servers, 'kafka'>, pool: Pool): Promise<Position[]> {
  return withTopicEnds(kafka, (admin, endsOf) => positionsOf(admin, pool, endsOf));
}

type EndsOf = (topic: string) => Promise<ReadonlyMap<number, number>>;

/** Lends `use` a connection, and the ends of each topic, by partition, which are asked for once. */
async function withTopicEnds<T>(kafka: KafkaConfig, use: (admin: Admin, endsOf: EndsOf) => Promise<T>): Promise<T> {
  const admin = kafkajsClient(kafka, 'samvad-lag').admin();
  const watermarks = await openWatermarks(kafka, 'samvad-lag');
  try {
    await admin.connect();
    const known = new Map<string, Promise<ReadonlyMap<number, number>>>();
    const read = async (topic: string) =>
      new Map([...(await watermarks.ofAll(topic))].map(([partition, { high }]) => [partition, high]));
    return await use(admin, (topic) => {
      const ends = known.get(topic) ?? read(topic);
      known.set(topic, ends);
      return ends;
    });
  } finally {
    await admin.disconnect();
    await watermarks.close();
  }
}

async function positionsOf(admin: Admin, pool: Pool, endsOf: EndsOf): Promise<Position[]> {
  const positions: Position[] = [];
  for (const { name, inputs } of processors) {
    const committed = await admin.fetchOffsets({ groupId: name, topics: inputs.map(({ topic }) => topic.name) });
    for (const { topic, partitions } of committed) {
      const next = new Map(partitions.map(({ partition, offset }) => [partition, Number(offset)]));
      positions.push({ component: name, topic, ends: await endsOf(topic), next });
    }
  }
  const { rows } = await pool.query<{ projection: string; partition: number; next_offset: string }>(
    'SELECT projection, partition, next_offset FROM projection_offsets',
  );
  for (const { name, topic } of projections) {
    const next = new Map(
      rows.filter((row) => row.projection === name).map((row) => [row.partition, Number(row.next_offset)]),
    );
    positions.push({ component: name, topic: topic.name, ends: await endsOf(topic.name), next });
  }
  return positions;
}

function lagOf({ component, topic, ends, next }: Position): Lag {
  let lag = 0;
  for (const [partition, high] of ends) lag += Math.max(0, high - Math.max(0, next.get(partition) ?? 0));
  return { component, topic, end: sum(ends.values()), lag };
}

function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((total, number) => total + number, 0);
}

/**
 * Waits until nothing is left to process. Components are read in pipeline order, so one look that finds all of them
 * at their ends, twice in a row, means that nothing moves between them either.
 * @throws UsageError when components are behind and nothing has moved for a minute, and what reading met when a server was
 * away as long.
 */
export async function untilCaughtUp(
  servers: Pick<Servers, 'kafka'>,
  pool: Pool,
  onLag: (lags: readonly Lag[]) => void = () => undefined,
): Promise<void> {
  let [before, movedAt] = ['', Date.now()];
  for (let quiet = 0; quiet < 2;) {
    const lags = await readLag(servers, pool).catch((error: unknown) => {
      if (!mayPass(error) || Date.now() - movedAt > STALLED_MS) throw error;
    });
    if (!lags) {
      quiet = 0; // a server was away; what moved meanwhile is not known
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      continue;
    }
    onLag(lags);
    const now = JSON.stringify(lags);
    if (now !== before) [before, movedAt] = [now, Date.now()];
    if (Date.now() - movedAt > STALLED_MS && lags.some(({ lag }) => lag > 0)) {
      const behind = [...new Set(lags.filter(({ lag }) => lag > 0).map(({ component }) => component))];
      throw new UsageError(`Nothing has moved for a minute, and these are behind: ${behind.join(', ')}. Do they run?`);
    }
    quiet = lags.every(({ lag }) => lag === 0) ? quiet + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/**
 * Waits until all that had come at the call is in the tables, while more keeps coming: one component after another, in
 * pipeline order, has to pass the ends that its topics have when its turn comes. A record that was under the wrong
 * partition goes round once more and is not waited for.
 * @throws UsageError when a component is behind and has not moved for a minute.
 */
export async function untilPassed(servers: Pick<Servers, 'kafka'>, pool: Pool, signal?: AbortSignal): Promise<void> {
  const keyOf = ({ component, topic }: Position) => `${component} ${topic}`;
  let positions = await readPositions(servers, pool);
  for (const key of positions.map(keyOf)) {
    const find = () => positions.find((position) => keyOf(position) === key);
    const ends = find()?.ends ?? new Map<number, number>();
    let [before, movedAt] = ['', Date.now()];
    const behind = () => [...ends].some(([partition, end]) => Math.max(0, find()?.next.get(partition) ?? 0) < end);
    while (behind()) {
      signal?.throwIfAborted();
      const now = JSON.stringify([...(find()?.next ?? [])]);
      if (now !== before) [before, movedAt] = [now, Date.now()];
      if (Date.now() - movedAt > STALLED_MS)
        throw new UsageError(`${find()?.component ?? key} is behind and has not moved for a minute. Does it run?`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      positions = await readPositions(servers, pool);
    }
  }
}
