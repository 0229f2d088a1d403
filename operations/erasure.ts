/** Erases conversations at the request of their user. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { ConversationProducer } from '../producers/conversation-producer.ts';
import { parseEvent } from '../producers/inputs.ts';
import { sendAll } from '../producers/send-all.ts';
import { erasedAmong, erasedSentence } from '../review/erased.ts';

/** The connections that an erasure needs. */
export interface ErasureDeps {
  readonly pool: Pick<Pool, 'query'>;
  readonly producer: Pick<ConversationProducer, 'send'>;
}

/** What to erase: one conversation, or all conversations of a user that are in the tables now. */
export type ErasureSubject = { readonly conversation_id: string } | { readonly user_id: string };

/** The requester and the reason; both stay in the history. */
export interface ErasureGrounds {
  readonly requested_by: string;
  readonly reason: string;
}

/** The result of a request. */
export interface ErasureOutcome {
  readonly conversations: readonly string[];
  /**
   * `erased`: the tables made from the log no longer have the conversations; scores of the queue may remain. `sent`:
   * the request is in the log, but a component has not processed it yet. `spooled`: Kafka has not accepted all of it;
   * it waits in the spool of this host and is sent from there.
   */
  readonly outcome: 'erased' | 'sent' | 'spooled';
}

/** There is nothing to erase; nothing was sent. */
export class NothingToErase extends Error {
  readonly why: 'unknown-conversation' | 'erased';

  constructor(why: NothingToErase['why'], message: string) {
    super(message);
    this.why = why;
  }
}

/** How long `erase` waits until the tables have erased the conversations. */
const TAKEN_MS = 15_000;
const POLL_MS = 100;

/**
 * Sends one request per conversation and waits until the tables made from the log have none of them.
 * @throws NothingToErase. @throws InputError naming the invalid field. @throws SpoolFull
 */
export async function erase(
  { pool, producer }: ErasureDeps,
  subject: ErasureSubject,
  { requested_by, reason }: ErasureGrounds,
): Promise<ErasureOutcome> {
  const requested_at = new Date().toISOString();
  const request = (conversation_id: string) =>
    parseEvent('erasure', { conversation_id, requested_by, reason, requested_at });
  const conversations = 'user_id' in subject ? await ofUser(pool, subject.user_id) : [subject.conversation_id];
  const requests = conversations.map(request);
  if ('conversation_id' in subject) await refuseUnknown(pool, subject.conversation_id);
  const sent = await sendAll(producer, requests);
  for (const deadline = Date.now() + TAKEN_MS; Date.now() < deadline; await sleep(POLL_MS))
    if (await forgotten(pool, conversations)) return { conversations, outcome: 'erased' };
  return { conversations, outcome: sent.some(({ stored }) => stored === 'spool') ? 'spooled' : 'sent' };
}

async function ofUser(pool: ErasureDeps['pool'], userId: string): Promise<readonly string[]> {
  const { rows } = await pool.query<{ conversation_id: string }>(
    'SELECT conversation_id FROM conversation_logs WHERE user_id = $1 ORDER BY conversation_id',
    [userId],
  );
  if (rows.length === 0)
    throw new NothingToErase('unknown-conversation', 'No conversation of this user is here, or not yet.');
  return rows.map(({ conversation_id }) => conversation_id);
}

async function refuseUnknown(pool: ErasureDeps['pool'], id: string): Promise<void> {
  const [erased] = await erasedAmong(pool, [id]);
  if (erased) throw new NothingToErase('erased', erasedSentence(erased));
  const { rowCount } = await pool.query('SELECT FROM conversation_logs WHERE conversation_id = $1', [id]);
  if (rowCount === 0)
    throw new NothingToErase('unknown-conversation', `Conversation ${JSON.stringify(id)} is not here, or not yet.`);
}

/** Whether these conversations were erased and no table has any of them. */
async function forgotten(pool: ErasureDeps['pool'], ids: readonly string[]): Promise<boolean> {
  const { rows } = await pool.query<{ forgotten: boolean }>(
    `SELECT NOT EXISTS (
       SELECT FROM unnest($1::text[]) AS id
        WHERE NOT EXISTS (SELECT FROM erasures WHERE conversation_id = id)
           OR EXISTS (SELECT FROM conversation_logs WHERE conversation_id = id)
           OR EXISTS (SELECT FROM conversation_reviews WHERE conversation_id = id)
           OR EXISTS (SELECT FROM review_queue WHERE conversation_id = id)
           OR EXISTS (SELECT FROM training_sample_rows WHERE conversation_id = id)
     ) AS forgotten`,
    [ids],
  );
  return rows[0]?.forgotten ?? false;
}
