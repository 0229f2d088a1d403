/** Figures of the whole pipeline, for monitoring. */
import type { Pool } from 'pg';
import type { Servers } from '../config.ts';
import type { PipelineFigures, TrainingFigures } from '../http/process-metrics.ts';
import { readLag } from './lag.ts';

/** Reads the figures from Kafka and Postgres. */
export async function readPipelineFigures(servers: Pick<Servers, 'kafka'>, pool: Pool): Promise<PipelineFigures> {
  const [lag, queue, training] = await Promise.all([readLag(servers, pool), readQueue(pool), readTraining(pool)]);
  return { lag, queue, training };
}

/** Conversations that wait for their first answer, for each priority class. */
export async function readQueue(pool: Pool): Promise<PipelineFigures['queue']> {
  const { rows } = await pool.query<{ class: number; waiting: number; oldest: number | null }>(
    `SELECT class, coalesce(sum(rows), 0)::int AS waiting,
            (SELECT extract(epoch FROM min(created_at))::float8 FROM review_queue WHERE priority_class = class AND answered_by = '[]') AS oldest
       FROM generate_series(1, 3) AS class LEFT JOIN row_counts ON relation = 'queue' AND kind = class::text GROUP BY 1 ORDER BY 1`,
  );
  return rows;
}

/** Numbers of conversations and approved samples in their tables. */
export async function readTotals(pool: Pool): Promise<{ readonly conversations: number; readonly samples: number }> {
  const { rows } = await pool.query<{ conversations: number; samples: number }>(
    `SELECT coalesce(sum(rows) FILTER (WHERE relation = 'conversations'), 0)::float8 AS conversations,
            coalesce(sum(rows) FILTER (WHERE relation = 'samples'), 0)::float8 AS samples
       FROM row_counts WHERE relation IN ('conversations', 'samples')`,
  );
  return rows[0] ?? { conversations: 0, samples: 0 };
}

async function readTraining(pool: Pool): Promise<TrainingFigures> {
  const { rows } = await pool.query<{ figures: TrainingFigures }>(
    `SELECT json_build_object(
       'byStatus', (SELECT coalesce(json_object_agg(status, runs), '{}')
                      FROM (SELECT status, count(*) AS runs FROM training_runs GROUP BY 1) AS counts),
       'last', (SELECT json_build_object('outcome', CASE status WHEN 'finished' THEN verdict ELSE status END, 'finishedAt', extract(epoch FROM finished_at),
                                         'duration', extract(epoch FROM finished_at - started_at))
                  FROM training_runs WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1),
       'running', (SELECT json_build_object('epoch', epoch, 'epochs', epochs, 'startedAt', extract(epoch FROM started_at))
                     FROM training_runs WHERE status = 'running' ORDER BY started_at DESC LIMIT 1)) AS figures`,
  );
  return rows[0]?.figures ?? { byStatus: {}, last: null, running: null };
}
