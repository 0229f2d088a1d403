/** How far people have come, and how far they agree. */
import type { Pool } from 'pg';
import { cohensKappa } from '../policy/agreement.ts';
import type { Agreement } from '../policy/agreement.ts';

/** Answers since a time. */
export interface Progress {
  readonly mine: number;
  readonly everyone: number;
  /** Median time from showing to answer; null without answers that tell it. */
  readonly median_ms: number | null;
}

/** Standing answers since `since`, one's own and everybody's. */
export async function readProgress(pool: Pool, reviewer: string, since: Date): Promise<Progress> {
  const { rows } = await pool.query<Progress>(
    `SELECT count(*) FILTER (WHERE reviewer = $1)::int AS mine, count(*)::int AS everyone,
            percentile_disc(0.5) WITHIN GROUP (ORDER BY time_taken_ms) FILTER (WHERE reviewer = $1) AS median_ms
       FROM standing_reviews WHERE reviewed_at >= $2`,
    [reviewer, since],
  );
  return rows[0] ?? { mine: 0, everyone: 0, median_ms: null };
}

/** Agreement over what two people answered, of all and of each pair of reviewers. */
export interface AgreementReport extends Agreement {
  readonly by_reviewers: readonly (Agreement & { readonly first: string; readonly second: string })[];
}

/** Reads it from the conversations that were given to two people. */
export async function readAgreement(pool: Pool): Promise<AgreementReport> {
  const { rows } = await pool.query<{ a: string; b: string; first: string; second: string }>(
    `SELECT least(first_reviewer, second_reviewer) AS a, greatest(first_reviewer, second_reviewer) AS b,
            CASE WHEN first_reviewer <= second_reviewer THEN first_label ELSE second_label END AS first,
            CASE WHEN first_reviewer <= second_reviewer THEN second_label ELSE first_label END AS second
       FROM review_agreement ORDER BY a, b, conversation_id`,
  );
  const pairs = new Map<string, typeof rows>();
  for (const row of rows) {
    const name = JSON.stringify([row.a, row.b]);
    pairs.set(name, [...(pairs.get(name) ?? []), row]);
  }
  return {
    ...cohensKappa(rows.map(({ first, second }) => [first, second])),
    by_reviewers: [...pairs.values()].map((some) => ({
      first: some[0]?.a ?? '',
      second: some[0]?.b ?? '',
      ...cohensKappa(some.map(({ first, second }) => [first, second])),
    })),
  };
}
