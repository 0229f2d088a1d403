/** How many answers people have given. */
import type { Pool } from 'pg';

/** Answers since a time. */
export interface Progress {
  readonly mine: number;
  readonly everyone: number;
  /** Median time from display to answer; null without answers that record it. */
  readonly median_ms: number | null;
}

/** Answers in force since `since`: the reviewer's own and everybody's. */
export async function readProgress(pool: Pool, reviewer: string, since: Date): Promise<Progress> {
  const { rows } = await pool.query<Progress>(
    `SELECT count(*) FILTER (WHERE reviewer = $1)::int AS mine, count(*)::int AS everyone,
            percentile_disc(0.5) WITHIN GROUP (ORDER BY time_taken_ms) FILTER (WHERE reviewer = $1) AS median_ms
       FROM standing_reviews WHERE reviewed_at >= $2`,
    [reviewer, since],
  );
  return rows[0] ?? { mine: 0, everyone: 0, median_ms: null };
}
