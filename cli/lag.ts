/** How far each component is behind the end of what it reads. */
import type { Pool } from 'pg';
import { processors, projections } from '../pipeline.ts';
import { kafkajsClient } from '../runtime/kafka-clients.ts';
import type { Servers } from '../config.ts';
import { UsageError } from './terminal.ts';

const STALLED_MS = 60_000;

/** Records between a component's position and the end of a topic, over all partitions. */
export interface Lag {
  readonly component: string;
  readonly topic: string;
  readonly end: number;
  readonly lag: number;
}

/** Reads the lag of every component; processors' positions are in Kafka, projections' in Postgres. */
export async function readLag({ kafka }: Pick<Servers, 'kafka'>, pool: Pool): Promise<Lag[]> {
  const admin = kafkajsClient(kafka, 'samvad-lag').admin();
  await admin.connect();
  try {
    const ends = new Map<string, Map<number, number>>();
    const endsOf = async (topic: string) => {
      const known =
        ends.get(topic) ??
        new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]));
      ends.set(topic, known);
      return known;
    };
    const lags: Lag[] = [];
    for (const { name, inputs } of processors) {
      const committed = await admin.fetchOffsets({ groupId: name, topics: inputs.map(({ topic }) => topic.name) });
      for (const { topic, partitions } of committed) {
        lags.push(
          lagOf(
            name,
            topic,
            await endsOf(topic),
            new Map(partitions.map(({ partition, offset }) => [partition, Number(offset)])),
          ),
        );
      }
    }
    const { rows } = await pool.query<{ projection: string; partition: number; next_offset: string }>(
      'SELECT projection, partition, next_offset FROM projection_offsets',
    );
    for (const { name, topic } of projections) {
      const stored = new Map(
        rows.filter((row) => row.projection === name).map((row) => [row.partition, Number(row.next_offset)]),
      );
      lags.push(lagOf(name, topic.name, await endsOf(topic.name), stored));
    }
    return lags;
  } finally {
    await admin.disconnect();
  }
}

function lagOf(component: string, topic: string, ends: Map<number, number>, positions: Map<number, number>): Lag {
  let end = 0;
  let lag = 0;
  for (const [partition, high] of ends) {
    end += high;
    lag += Math.max(0, high - Math.max(0, positions.get(partition) ?? 0));
  }
  return { component, topic, end, lag };
}

/**
 * Waits until nothing is left to process. Components are read in pipeline order, so one look that finds all of them
 * at their ends, twice in a row, means that nothing moves between them either.
 * @throws UsageError when components are behind and nothing has moved for a minute.
 */
export async function untilCaughtUp(
  servers: Pick<Servers, 'kafka'>,
  pool: Pool,
  onLag: (lags: readonly Lag[]) => void = () => undefined,
): Promise<void> {
  let [before, movedAt] = ['', Date.now()];
  for (let quiet = 0; quiet < 2;) {
    const lags = await readLag(servers, pool);
    onLag(lags);
    const now = JSON.stringify(lags);
    if (now !== before) [before, movedAt] = [now, Date.now()];
    if (Date.now() - movedAt > STALLED_MS && lags.some(({ lag }) => lag > 0)) {
      const behind = [...new Set(lags.filter(({ lag }) => lag > 0).map(({ component }) => component))];
      throw new UsageError(`Nothing has moved for a minute, and these are behind: ${behind.join(', ')}. Do they run?`);
    }
    quiet = lags.every(({ lag }) => lag === 0) ? quiet + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}
