/** Current figures for the dashboard and for `/metrics`. */
import type { Pool } from 'pg';
import type { Servers } from '../config.ts';
import type { LiveFigures } from '../http/live.ts';
import type { DeadLetterIndex } from '../runtime/dead-letters.ts';
import { topics } from '../topology.ts';
import { readLagAndEnds } from './lag.ts';
import { readQueue, readTotals } from './pipeline-figures.ts';

/** How often dead letters are counted when their topic has not grown, because they expire. */
const LETTERS_MS = 60_000;

/** Reads live figures. Dead letters are counted when their topic has grown, and once a minute. */
export function liveReader(
  servers: Pick<Servers, 'kafka'>,
  deadLetters: Pick<DeadLetterIndex, 'update' | 'open'>,
  pool: Pool,
  now: () => number = Date.now,
): () => Promise<LiveFigures> {
  let [countedTo, countedAt] = [0, 0];
  return async () => {
    const at = now();
    const { lags, ends } = await readLagAndEnds(servers, pool);
    const end = ends[topics.deadLetters.name] ?? 0;
    if (end !== countedTo || at - countedAt >= LETTERS_MS) {
      await deadLetters.update();
      [countedTo, countedAt] = [end, at];
    }
    return {
      at,
      topics: ends,
      lags,
      ...(await readTables(pool)),
      dead_letters: deadLetters.open,
    };
  };
}

async function readTables(pool: Pool): Promise<Pick<LiveFigures, 'totals' | 'queue' | 'runs'>> {
  const queue = (await readQueue(pool)).filter(({ waiting }) => waiting > 0);
  const { rows: runs } = await pool.query<object>(
    `SELECT run_id, data_set, trigger, status, stage, epoch, epochs, approvals::int, requested_at, started_at FROM training_runs
      WHERE status IN ('requested', 'running') ORDER BY requested_at`,
  );
  const oldest = queue.flatMap((one) => one.oldest ?? []);
  return {
    totals: {
      ...(await readTotals(pool)),
      waiting: queue.reduce((sum, { waiting }) => sum + waiting, 0),
    },
    queue: {
      classes: Object.fromEntries(queue.map((one) => [String(one.class), one.waiting])),
      oldest: oldest.length === 0 ? null : new Date(1000 * Math.min(...oldest)).toISOString(),
    },
    runs,
  };
}
