/** Reads from Postgres how far two people agree on the same conversations. */
import type { Pool } from 'pg';
import { cohensKappa } from '../policy/agreement.ts';
import type { Agreement } from '../policy/agreement.ts';
import { groupBy } from '../policy/group-by.ts';
import type { Day } from './day.ts';

/** Agreement on conversations with two answers: overall and for each pair of reviewers. */
export interface AgreementReport extends Agreement {
  readonly by_reviewers: readonly (Agreement & { readonly first: string; readonly second: string })[];
}

/** Uses the index on `reviewed_at`. The array of conversations leads to their reviews before those are compared. */
const WITHIN = `reviewed_at >= $1::timestamp AT TIME ZONE 'UTC' AND reviewed_at < ($2::date + 1)::timestamp AT TIME ZONE 'UTC'`;

/**
 * Reads the report for all time, or for the days (UTC) of the second answer. In a pair, the first reviewer is the first
 * by name.
 */
export async function readAgreement(
  pool: Pick<Pool, 'query'>,
  days?: { readonly from: Day; readonly to: Day },
): Promise<AgreementReport> {
  const { rows } = await pool.query<{ a: string; b: string; first: string; second: string }>(
    `SELECT least(first_reviewer, second_reviewer) AS a, greatest(first_reviewer, second_reviewer) AS b,
            CASE WHEN first_reviewer <= second_reviewer THEN first_label ELSE second_label END AS first,
            CASE WHEN first_reviewer <= second_reviewer THEN second_label ELSE first_label END AS second
       FROM review_agreement ${days ? `WHERE ${WITHIN} AND conversation_id = ANY (ARRAY(SELECT conversation_id FROM conversation_reviews WHERE ${WITHIN}))` : ''}
      ORDER BY a, b, conversation_id`,
    days && [days.from, days.to],
  );
  const pairs = groupBy(rows, ({ a, b }) => JSON.stringify([a, b]));
  return {
    ...kappaOf(rows),
    by_reviewers: [...pairs.values()].map((some) => ({
      first: some[0]?.a ?? '',
      second: some[0]?.b ?? '',
      ...kappaOf(some),
    })),
  };
}

function kappaOf(rows: readonly { readonly first: string; readonly second: string }[]): Agreement {
  return cohensKappa(rows.map(({ first, second }) => [first, second]));
}
