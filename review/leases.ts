/** Leases in Postgres: two people never get the same item, even across restarts. */
import type { Pool, PoolClient } from 'pg';
import { ADVISORY_LOCKS } from '../runtime/advisory-locks.ts';
import { BEGIN, inTransaction } from '../runtime/postgres-pool.ts';
import { takeTurns } from '../policy/review-turns.ts';
import { alike, filterValues, MATCHES } from './filter.ts';
import type { QueueFilter } from './filter.ts';

/** A reviewer in one open page or terminal. */
export interface Holder {
  readonly reviewer: string;
  readonly session: string;
}

/** How long an item stays with a page that sends no requests; each request renews it. */
export const LEASE_MINUTES = 10;
/** How long an answered item is kept from other reviewers while the log has not yet removed it from the queue. */
const ANSWERED_MINUTES = 60;
/**
 * A lease younger than this is kept even if the queue does not ask about its item, because an undone item takes a
 * moment to return to the queue. The same applies if that item is answered again: otherwise it would be lent again
 * after the queue has processed the undo, but not yet the new answer.
 */
const GRACE_SECONDS = 20;
/** The most equal texts that are answered with one item. */
const MAX_GROUP = 100;
/** The order within a lane, by `review_keys`. */
const IN_ORDER = 'rank_by, shuffled, created_at, conversation_id';

/** What a request asks for besides the next items. */
export interface Wishes {
  /** An item to lend before all others, unless another reviewer has it. */
  readonly first?: string | undefined;
  /**
   * Similar items to answer together with `lead`, which the holder has; those that another reviewer has are left out.
   */
  readonly join?: { readonly lead: string; readonly ids: readonly string[] } | undefined;
}

/**
 * Renews the holder's leases and fills them up to `want` items in the order of the queue. Returns the ids of all held
 * items, longest held first.
 */
export async function leaseNext(
  pool: Pool,
  holder: Holder,
  filter: QueueFilter,
  want: number,
  { first, join }: Wishes = {},
): Promise<readonly string[]> {
  const lend = async (client: PoolClient) => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCKS.leases]);
    await dropDead(client);
    await renew(client, holder, filter);
    if (join) await addTo(client, holder, join.lead, join.ids);
    if (first !== undefined) await take(client, holder, [first]);
    const held = (await leads(client, holder)).length;
    if (held < want) await take(client, holder, await pick(client, holder.reviewer, filter, want - held));
    await gather(client, holder);
    return leads(client, holder);
  };
  return inTransaction(pool, lend, BEGIN);
}

/** Releases the holder's unanswered items. */
export async function release(pool: Pool, { reviewer, session }: Holder): Promise<void> {
  await pool.query('DELETE FROM review_leases WHERE reviewer = $1 AND session = $2 AND answered_at IS NULL', [
    reviewer,
    session,
  ]);
}

/** Marks answers as stored in the log, so that the items are not lent again before the queue knows. */
export async function markAnswered(pool: Pool, holder: Holder, conversationIds: readonly string[]): Promise<void> {
  await hold(pool, holder, conversationIds, ANSWERED_MINUTES, true);
}

/** Takes back items whose answers were withdrawn. */
export async function takeBack(pool: Pool, holder: Holder, conversationIds: readonly string[]): Promise<void> {
  await hold(pool, holder, conversationIds, LEASE_MINUTES, false);
}

async function hold(pool: Pool, holder: Holder, ids: readonly string[], minutes: number, answered: boolean) {
  if (ids.length === 0) return;
  await pool.query(
    `INSERT INTO review_leases AS l (conversation_id, reviewer, session, led_by, leased_at, expires_at, answered_at, taken_back)
     SELECT id, $2, $3, id, now(), now() + make_interval(mins => $4), CASE WHEN $5 THEN now() END, NOT $5 FROM unnest($1::text[]) AS id
     ON CONFLICT (conversation_id) DO UPDATE
       SET session = excluded.session, led_by = excluded.led_by, leased_at = excluded.leased_at,
           expires_at = excluded.expires_at, answered_at = excluded.answered_at, taken_back = excluded.taken_back OR l.taken_back
     WHERE l.reviewer = excluded.reviewer`,
    [[...new Set(ids)], holder.reviewer, holder.session, minutes, answered],
  );
}

/**
 * Deletes leases that expired, and those of items that the queue no longer asks this person about; after an undo, the
 * queue may not ask again yet.
 */
async function dropDead(client: PoolClient): Promise<void> {
  await client.query(
    `DELETE FROM review_leases l
      WHERE expires_at < now()
         OR ((answered_at IS NOT NULL AND NOT taken_back OR leased_at < now() - make_interval(secs => $1))
             AND NOT EXISTS (SELECT FROM review_queue q
                              WHERE q.conversation_id = l.conversation_id AND NOT q.answered_by ? l.reviewer))`,
    [GRACE_SECONDS],
  );
}

/**
 * Keeps leases that match the filter; releases the others, and near-duplicates whose lead item was answered without
 * them or no longer leads.
 */
async function renew(client: PoolClient, { reviewer, session }: Holder, filter: QueueFilter): Promise<void> {
  await client.query(
    `DELETE FROM review_leases l USING review_queue q
      WHERE l.reviewer = $4 AND l.session = $5 AND l.answered_at IS NULL AND q.conversation_id = l.led_by AND NOT (${MATCHES})`,
    [...filterValues(filter), reviewer, session],
  );
  await client.query(
    `DELETE FROM review_leases l
      WHERE reviewer = $1 AND session = $2 AND answered_at IS NULL AND led_by <> conversation_id
        AND NOT EXISTS (SELECT FROM review_leases lead WHERE lead.conversation_id = l.led_by AND lead.led_by = lead.conversation_id
                           AND lead.reviewer = $1 AND lead.session = $2 AND lead.answered_at IS NULL)`,
    [reviewer, session],
  );
  await client.query(
    `UPDATE review_leases SET expires_at = now() + make_interval(mins => $3)
      WHERE reviewer = $1 AND session = $2 AND answered_at IS NULL`,
    [reviewer, session, LEASE_MINUTES],
  );
}

/** The best free items, one per group of equal texts, alternating between the two lanes. */
async function pick(
  client: PoolClient,
  reviewer: string,
  filter: QueueFilter,
  count: number,
): Promise<readonly string[]> {
  const { main, drawn } = await firstFree(client, reviewer, filter, count);
  const { rows: turns } = await client.query<{ turns: string }>(
    'SELECT coalesce(max(turns), 0) AS turns FROM review_turns WHERE reviewer = $1',
    [reviewer],
  );
  const picked = takeTurns(main, drawn, Number(turns[0]?.turns), count);
  await client.query(
    `INSERT INTO review_turns (reviewer, turns) VALUES ($1, $2)
     ON CONFLICT (reviewer) DO UPDATE SET turns = review_turns.turns + excluded.turns`,
    [reviewer, picked.length],
  );
  return picked.map((row) => row.conversation_id);
}

interface FreeItem {
  readonly conversation_id: string;
  readonly drawn: boolean;
  readonly group: string;
}

/**
 * The first `count` free items of each lane. Equal texts rank lower, so a look at `among` items nearly always finds
 * enough.
 */
async function firstFree(
  client: PoolClient,
  reviewer: string,
  filter: QueueFilter,
  count: number,
  among = 8 * count,
): Promise<{ readonly main: readonly FreeItem[]; readonly drawn: readonly FreeItem[] }> {
  const first = (lane: string) => `(SELECT * FROM free WHERE ${lane} ORDER BY ${IN_ORDER} LIMIT $5)`;
  const { rows } = await client.query<FreeItem>(
    `WITH free AS MATERIALIZED (
       SELECT conversation_id, drawn, fingerprint, nlu_module, nlu_intent, rank_by, shuffled, created_at FROM review_keys r
        WHERE NOT answered_by ? $4 AND NOT EXISTS (SELECT FROM review_leases l WHERE l.conversation_id = r.conversation_id) AND ${MATCHES}
     )
     SELECT conversation_id, drawn, jsonb_build_array(fingerprint, nlu_module, nlu_intent)::text AS "group"
       FROM (${first('NOT drawn')} UNION ALL ${first('drawn')}) best ORDER BY ${IN_ORDER}`,
    [...filterValues(filter), reviewer, among],
  );
  const main = rows.filter(({ drawn }) => !drawn);
  const seen = new Set<string>();
  const leads = main.filter(({ group }) => !seen.has(group) && seen.add(group));
  if (leads.length < count && main.length === among) return firstFree(client, reviewer, filter, count, 8 * among);
  return { main: leads, drawn: rows.filter(({ drawn }) => drawn) };
}

/** Leases items, each with the equal texts of the same prediction. Drawn items are leased alone. */
async function take(client: PoolClient, { reviewer, session }: Holder, ids: readonly string[]): Promise<void> {
  await client.query(
    `INSERT INTO review_leases (conversation_id, reviewer, session, led_by, leased_at, expires_at)
     SELECT conversation_id, $2, $3, led_by, now() + nth_lead * interval '1 microsecond', now() + make_interval(mins => $4)
       FROM (SELECT q.conversation_id, lead.conversation_id AS led_by, nth_lead,
                    row_number() OVER (PARTITION BY lead.conversation_id
                                       ORDER BY q.conversation_id <> lead.conversation_id, q.created_at, q.conversation_id) AS nth
               FROM unnest($1::text[]) WITH ORDINALITY AS wanted (conversation_id, nth_lead)
               JOIN review_queue lead USING (conversation_id)
               JOIN review_queue q ON q.fingerprint = lead.fingerprint
                AND (q.conversation_id = lead.conversation_id
                     OR (q.nlu_module = lead.nlu_module AND q.nlu_intent = lead.nlu_intent AND NOT q.drawn AND NOT lead.drawn))
               LEFT JOIN review_leases l ON l.conversation_id = q.conversation_id
              WHERE l.conversation_id IS NULL AND NOT q.answered_by ? $2 AND NOT lead.answered_by ? $2
                AND NOT EXISTS (SELECT FROM review_leases taken WHERE taken.conversation_id = lead.conversation_id)) members
      WHERE nth <= $5
     ON CONFLICT (conversation_id) DO NOTHING`,
    [ids, reviewer, session, LEASE_MINUTES, MAX_GROUP],
  );
}

/**
 * Leases items to be answered with one that the holder has. Items that the holder already has are moved to it, with
 * their equal texts.
 */
async function addTo(
  client: PoolClient,
  { reviewer, session }: Holder,
  lead: string,
  ids: readonly string[],
): Promise<void> {
  await client.query(
    `INSERT INTO review_leases AS l (conversation_id, reviewer, session, led_by, leased_at, expires_at)
     SELECT q.conversation_id, $3, $4, $1, lease.leased_at, lease.expires_at
       FROM review_leases lease JOIN review_queue lead USING (conversation_id) JOIN review_queue q ON ${alike('q', 'lead')}
      WHERE lease.conversation_id = $1 AND lease.led_by = $1 AND lease.reviewer = $3 AND lease.session = $4 AND lease.answered_at IS NULL
        AND NOT q.answered_by ? $3
        AND (q.conversation_id = ANY ($2)
             OR q.fingerprint IN (SELECT fingerprint FROM review_queue WHERE conversation_id = ANY ($2))
                AND q.conversation_id IN (SELECT conversation_id FROM review_leases
                                           WHERE reviewer = $3 AND session = $4 AND answered_at IS NULL))
     ON CONFLICT (conversation_id) DO UPDATE SET led_by = excluded.led_by
     WHERE l.reviewer = $3 AND l.session = $4 AND l.answered_at IS NULL`,
    [lead, ids, reviewer, session],
  );
}

/**
 * Groups equal texts that the holder got one by one under the one held longest. This happens after the undo of a group:
 * its items re-enter the queue one after another, each with its own lease.
 */
async function gather(client: PoolClient, { reviewer, session }: Holder): Promise<void> {
  await client.query(
    `UPDATE review_leases l SET led_by = alike.first
       FROM (SELECT conversation_id, count(*) OVER same AS members,
                    first_value(led_by) OVER (same ORDER BY leased_at, conversation_id) AS first
               FROM review_leases JOIN review_queue q USING (conversation_id)
              WHERE reviewer = $1 AND session = $2 AND answered_at IS NULL AND NOT drawn
             WINDOW same AS (PARTITION BY fingerprint, nlu_module, nlu_intent)) alike
      WHERE l.conversation_id = alike.conversation_id AND l.led_by <> alike.first AND alike.members <= $3`,
    [reviewer, session, MAX_GROUP],
  );
}

async function leads(client: PoolClient, { reviewer, session }: Holder): Promise<readonly string[]> {
  const { rows } = await client.query<{ conversation_id: string }>(
    `SELECT conversation_id FROM review_leases
      WHERE reviewer = $1 AND session = $2 AND answered_at IS NULL AND led_by = conversation_id
        AND conversation_id IN (SELECT conversation_id FROM review_queue)
      ORDER BY leased_at, conversation_id`,
    [reviewer, session],
  );
  return rows.map((row) => row.conversation_id);
}
