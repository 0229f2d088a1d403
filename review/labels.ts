/** The labels that a correction may choose from. */
import type { Pool } from 'pg';

/** A label and how many conversations have it, as predicted or corrected. */
export interface KnownLabel {
  readonly module: string;
  readonly intent: string;
  readonly conversations: number;
}

/** Every label that the service predicted or a person gave, most frequent first. */
export async function readLabels(pool: Pick<Pool, 'query'>): Promise<KnownLabel[]> {
  const { rows } = await pool.query<KnownLabel>(
    `SELECT module, intent, sum(n)::int AS conversations
       FROM (SELECT nlu_module AS module, nlu_intent AS intent, count(*) AS n FROM conversation_logs GROUP BY 1, 2
             UNION ALL
             SELECT corrected_module, corrected_intent, count(*) FROM conversation_logs WHERE corrected_intent IS NOT NULL GROUP BY 1, 2) l
      GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2`,
  );
  return rows;
}

/**
 * The `labels` that no conversation has had so far, and that are not among the runners-up of the given conversations.
 */
export async function unknownLabels(
  pool: Pick<Pool, 'query'>,
  labels: readonly { readonly module: string; readonly intent: string }[],
  conversationIds: readonly string[],
): Promise<{ readonly module: string; readonly intent: string }[]> {
  if (labels.length === 0) return [];
  const considered = (table: string) =>
    `EXISTS (SELECT FROM ${table} c WHERE c.conversation_id = ANY ($3)
                AND c.runners_up @> jsonb_build_array(jsonb_build_object('module', module, 'intent', intent)))`;
  const { rows } = await pool.query<{ module: string; intent: string }>(
    `SELECT module, intent FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) AS wanted (module, intent)
      WHERE NOT EXISTS (SELECT FROM conversation_logs c WHERE c.nlu_module = module AND c.nlu_intent = intent)
        AND NOT EXISTS (SELECT FROM conversation_logs c WHERE c.corrected_module = module AND c.corrected_intent = intent)
        AND NOT ${considered('conversation_logs')} AND NOT ${considered('review_queue')}`,
    [labels.map(({ module }) => module), labels.map(({ intent }) => intent), conversationIds],
  );
  return rows;
}
