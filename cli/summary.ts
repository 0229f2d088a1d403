/** The figures of a summary, from Postgres. */
import type { Pool } from 'pg';

/** Counts by some label, largest first. */
export type Counts = readonly { readonly name: string; readonly count: number }[];

/** What the pipeline made of the traffic so far. */
export interface Summary {
  readonly totals: { readonly conversations: number; readonly waiting: number; readonly samples: number };
  readonly routes: Counts;
  readonly statuses: Counts;
  /** Means over all conversations, 0 to 1; null when there are none. */
  readonly averageConfidence: number | null;
  readonly autoApprovalRate: number | null;
  readonly samplesByModule: Counts;
  readonly samplesByLanguage: Counts;
}

/** Reads the summary. */
export async function readSummary(pool: Pool): Promise<Summary> {
  const counts = async (sql: string) =>
    (await pool.query<{ name: string; count: string }>(sql)).rows.map(({ name, count }) => ({
      name,
      count: Number(count),
    }));
  const { rows } = await pool.query<{
    conversations: string;
    confidence: number | null;
    auto: number | null;
    waiting: string;
    samples: string;
  }>(
    `SELECT count(*) AS conversations, avg(nlu_confidence)::float8 AS confidence, avg((route = 'auto-approved')::int)::float8 AS auto,
            (SELECT count(*) FROM review_queue WHERE answered_by = '[]') AS waiting,
            (SELECT count(*) FROM training_samples WHERE review_status = 'approved') AS samples
       FROM conversation_logs`,
  );
  const row = rows[0];
  return {
    totals: { conversations: Number(row?.conversations), waiting: Number(row?.waiting), samples: Number(row?.samples) },
    averageConfidence: row?.confidence ?? null,
    autoApprovalRate: row?.auto ?? null,
    routes: await counts('SELECT route AS name, count(*) FROM conversation_logs GROUP BY 1 ORDER BY 2 DESC, 1'),
    statuses: await counts(
      'SELECT review_status AS name, count(*) FROM conversation_logs GROUP BY 1 ORDER BY 2 DESC, 1',
    ),
    samplesByModule: await counts(
      "SELECT module_type AS name, count(*) FROM training_samples WHERE review_status = 'approved' GROUP BY 1 ORDER BY 2 DESC, 1",
    ),
    samplesByLanguage: await counts(
      "SELECT language AS name, count(*) FROM training_samples WHERE review_status = 'approved' GROUP BY 1 ORDER BY 2 DESC, 1",
    ),
  };
}
