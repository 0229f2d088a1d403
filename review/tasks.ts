/** Reads the queue as a reviewer sees it. */
import type { Pool } from 'pg';
import type { Entity, RunnerUp } from '../schemas/types.ts';
import { alike, filterValues, MATCHES } from './filter.ts';
import type { QueueFilter } from './filter.ts';
import type { Holder } from './leases.ts';

/** A label and how often people chose it. */
export interface Suggestion {
  readonly module: string;
  readonly intent: string;
  readonly times: number;
}

/** A message that is equal or similar to an item's. */
export interface Alike {
  readonly conversation_id: string;
  readonly user_message: string;
  readonly language: string;
}

/** An item to answer. Drawn items have null for route, confidence, provider and version, whether audit or not. */
export interface ReviewTask {
  readonly conversation_id: string;
  readonly user_message: string;
  readonly language: string;
  readonly nlu_intent: string;
  readonly nlu_module: string;
  readonly nlu_confidence: number | null;
  readonly nlu_provider: string | null;
  readonly model_version: string | null;
  readonly entities: readonly Entity[];
  /** Drawn items have them without confidence. */
  readonly runners_up: readonly (Pick<RunnerUp, 'intent' | 'module'> & Partial<RunnerUp>)[];
  readonly route: string | null;
  readonly reasons: readonly string[];
  readonly created_at: Date;
  /** Equal messages with the same prediction, leased and answered with the item. */
  readonly group: readonly Alike[];
  /** Similar messages with the same prediction, most similar first. Those that joined are leased with the item too. */
  readonly similar: readonly (Alike & { readonly joined: boolean })[];
  /** The labels that people corrected this prediction to, most frequent first. */
  readonly suggestions: readonly Suggestion[];
}

const COLUMNS = `s.conversation_id, s.user_message, s.language, s.nlu_intent, s.nlu_module, s.nlu_confidence, s.nlu_provider, s.model_version,
  s.entities, s.runners_up, s.route, s.reasons, s.created_at`;
const MAX_SUGGESTIONS = 4;
const MAX_SIMILAR = 20;
const ALIKE =
  "jsonb_build_object('conversation_id', q.conversation_id, 'user_message', q.user_message, 'language', q.language)";

/** The items with these ids, in this order, as their holder sees them. */
export async function readTasks(
  pool: Pool,
  { reviewer, session }: Holder,
  ids: readonly string[],
): Promise<ReviewTask[]> {
  const { rows } = await pool.query<ReviewTask>(
    `WITH mine AS (
       SELECT conversation_id, led_by FROM review_leases WHERE session = $2 AND reviewer = $3 AND answered_at IS NULL
     )
     SELECT ${COLUMNS},
            (SELECT coalesce(jsonb_agg(${ALIKE} ORDER BY q.created_at, q.conversation_id), '[]')
               FROM review_queue q JOIN mine m USING (conversation_id)
              WHERE m.led_by = own.conversation_id AND q.conversation_id <> own.conversation_id AND q.fingerprint = own.fingerprint) AS "group",
            (SELECT coalesce(jsonb_agg(${ALIKE} || jsonb_build_object('joined', joined) ORDER BY apart, q.created_at, q.conversation_id), '[]')
               FROM (SELECT q.*, coalesce(m.led_by = own.conversation_id, false) AS joined,
                            jsonb_array_length(q.sketch - ARRAY(SELECT jsonb_array_elements_text(own.sketch))) AS apart
                       FROM review_queue q LEFT JOIN mine m USING (conversation_id)
                      WHERE ${alike('q', 'own')} AND q.fingerprint <> own.fingerprint AND NOT q.answered_by ? $3
                        AND (m.led_by IS NOT NULL OR NOT EXISTS (SELECT FROM review_leases l WHERE l.conversation_id = q.conversation_id))
                      ORDER BY joined DESC, apart, q.created_at, q.conversation_id LIMIT ${String(MAX_SIMILAR)}) q) AS similar,
            (SELECT coalesce(jsonb_agg(jsonb_build_object('module', module, 'intent', intent, 'times', times) ORDER BY times DESC, module, intent), '[]')
               FROM (SELECT corrected_module AS module, corrected_intent AS intent, count(*) AS times FROM conversation_logs c
                      WHERE c.nlu_module = s.nlu_module AND c.nlu_intent = s.nlu_intent AND c.verdict = 'correct'
                        AND (c.corrected_module, c.corrected_intent) IS DISTINCT FROM (c.nlu_module, c.nlu_intent)
                      GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT ${String(MAX_SUGGESTIONS)}) usual) AS suggestions
       FROM unnest($1::text[]) WITH ORDINALITY AS wanted (conversation_id, nth) JOIN shown_queue s USING (conversation_id)
       JOIN review_queue own USING (conversation_id)
      ORDER BY nth`,
    [ids, session, reviewer],
  );
  return rows;
}

/** A page of the queue, in its order. */
export interface QueuePage {
  readonly waiting: number;
  readonly items: readonly (Omit<ReviewTask, 'group' | 'similar' | 'suggestions'> & {
    readonly review_priority: number;
    /** Waiting items with an equal text that rank before it. */
    readonly duplicates_before: number;
  })[];
}

/** Reads `limit` items from `offset` on. */
export async function readQueue(pool: Pool, filter: QueueFilter, limit: number, offset: number): Promise<QueuePage> {
  const [items, counted] = await Promise.all([
    pool.query<QueuePage['items'][number]>(
      `SELECT r.review_priority::int, ${COLUMNS}, r.duplicates_before::int
         FROM (SELECT conversation_id, review_priority, duplicates_before FROM review_ranking
                WHERE ${MATCHES} ORDER BY review_priority LIMIT $4 OFFSET $5) r JOIN shown_queue s USING (conversation_id)
        ORDER BY r.review_priority`,
      [...filterValues(filter), limit, offset],
    ),
    pool.query<{ waiting: number }>(
      `SELECT count(*)::int AS waiting FROM review_queue WHERE ${MATCHES}`,
      filterValues(filter),
    ),
  ]);
  return { waiting: counted.rows[0]?.waiting ?? 0, items: items.rows };
}

/** Numbers of waiting items, by the values that a reviewer may filter for. */
export interface Waiting {
  readonly waiting: number;
  readonly modules: readonly { readonly name: string; readonly waiting: number }[];
  readonly languages: readonly { readonly name: string; readonly waiting: number }[];
  readonly routes: readonly { readonly name: string; readonly waiting: number }[];
}

/** Counts the items that wait for this person, without those already answered that the queue still lists. */
export async function countWaiting(pool: Pool, reviewer: string): Promise<Waiting> {
  const { rows } = await pool.query<{ what: string; name: string | null; waiting: number }>(
    `SELECT CASE WHEN grouping(nlu_module) = 0 THEN 'module' WHEN grouping(language) = 0 THEN 'language'
                 WHEN grouping(route) = 0 THEN 'route' ELSE 'all' END AS what,
            coalesce(nlu_module, language, route) AS name, count(*)::int AS waiting
       FROM (SELECT nlu_module, language,
                    CASE WHEN drawn THEN NULL WHEN priority_class = 1 THEN 'priority-review' ELSE 'needs-review' END AS route
               FROM review_queue w
              WHERE NOT answered_by ? $1
                AND NOT EXISTS (SELECT FROM review_leases l WHERE l.conversation_id = w.conversation_id AND l.answered_at IS NOT NULL)) q
      GROUP BY GROUPING SETS ((nlu_module), (language), (route), ()) ORDER BY waiting DESC, name`,
    [reviewer],
  );
  const of = (what: string) =>
    rows.flatMap((row) => (row.what === what && row.name !== null ? [{ name: row.name, waiting: row.waiting }] : []));
  return {
    waiting: rows.find(({ what }) => what === 'all')?.waiting ?? 0,
    modules: of('module'),
    languages: of('language'),
    routes: of('route'),
  };
}
