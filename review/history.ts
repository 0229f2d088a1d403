/** Reads one conversation and its history from Postgres. */
import type { Pool } from 'pg';
import { unanswered } from '../policy/routing.ts';
import { blindStory, timeline } from '../policy/timeline.ts';
import type { TimelineEntry } from '../policy/timeline.ts';
import type { ConversationCaptured, ReviewSource, ReviewSubmitted, Route, RoutingDecision } from '../schemas/types.ts';

/** A row of `shown_conversations` with its timeline. Times of the timeline are RFC 3339. */
export type ConversationHistory = Record<string, unknown> & {
  readonly timeline: readonly (Omit<TimelineEntry, 'at'> & { readonly at: string })[];
  /** The versions trained on its current sample, oldest first. */
  readonly trained: readonly { readonly version: string; readonly at: string }[];
};

type LogRow = Omit<ConversationCaptured, 'created_at'> & {
  readonly route: string;
  readonly route_reasons: readonly string[];
  readonly policy_version: string;
  readonly audit: boolean;
  readonly audit_propensity: number | null;
  readonly overlap: boolean;
  readonly created_at: Date;
};

type ReviewRow = Omit<ReviewSubmitted, 'source' | 'reviewed_at'> & {
  readonly source: string | null;
  readonly reviewed_at: Date;
};

/** The conversation with this id; undefined when there is none. */
export async function readHistory(pool: Pick<Pool, 'query'>, id: string): Promise<ConversationHistory | undefined> {
  // Postgres text can't hold a zero character, so no row has such an id.
  if (id.includes('\0')) return undefined;
  const { rows } = await pool.query<LogRow>('SELECT * FROM conversation_logs WHERE conversation_id = $1', [id]);
  const [row] = rows;
  if (!row) return undefined;
  const reviews = await pool.query<ReviewRow>(
    `SELECT conversation_id, review_id, verdict, corrected_intent, corrected_module, reviewer, source, time_taken_ms, shown, withdraws, reviewed_at
       FROM conversation_reviews WHERE conversation_id = $1 ORDER BY log_offset`,
    [id],
  );
  const seen = await pool.query<{ blind: boolean }>('SELECT * FROM shown_conversations WHERE conversation_id = $1', [
    id,
  ]);
  const [shown] = seen.rows;
  if (!shown) return undefined;
  const whole = timeline(firstDecision(row), reviews.rows.map(reviewOf));
  const story = shown.blind ? blindStory(whole) : whole;
  return {
    ...shown,
    timeline: story.map((entry) => ({ ...entry, at: new Date(entry.at).toISOString() })),
    trained: shown.blind ? [] : await readTrained(pool, id), // the sample of a waiting audit would reveal that it is one
  };
}

async function readTrained(pool: Pick<Pool, 'query'>, id: string): Promise<ConversationHistory['trained']> {
  const { rows } = await pool.query<{ version: string; created_at: Date }>(
    `SELECT v.version, v.created_at FROM training_sample_rows s
       JOIN model_versions v ON (v.consumed ->> s.log_partition::text)::bigint > s.log_offset
      WHERE s.conversation_id = $1 ORDER BY v.created_at, v.version`,
    [id],
  );
  return rows.map(({ version, created_at }) => ({ version, at: created_at.toISOString() }));
}

/** The router's decision before any review. */
function firstDecision(row: LogRow): RoutingDecision {
  return unanswered(
    { ...row, created_at: row.created_at.getTime() },
    {
      route: row.route.replaceAll('-', '_') as Route,
      reasons: row.route_reasons,
      audit: row.audit,
      audit_propensity: row.audit_propensity,
    },
    row.policy_version,
    row.overlap,
  );
}

function reviewOf(row: ReviewRow): ReviewSubmitted {
  const source = row.source === null ? null : (row.source.replaceAll('-', '_') as ReviewSource);
  return { ...row, source, reviewed_at: row.reviewed_at.getTime() };
}
