/** Writes a reviewer's answers to the log. */
import type { Pool } from 'pg';
import { isUndo } from '../policy/standing.ts';
import type { Problem } from '../policy/validation.ts';
import type { ConversationProducer, Stored } from '../producers/conversation-producer.ts';
import { traceFrom } from '../producers/trace.ts';
import type { Traced } from '../producers/trace.ts';
import type { ReviewSubmitted } from '../schemas/types.ts';
import { erasedAmong, erasedSentence } from './erased.ts';
import { unknownLabels } from './labels.ts';
import { markAnswered, takeBack } from './leases.ts';
import type { Holder } from './leases.ts';

/** The connections that answers need. */
export interface AnswerDeps {
  readonly pool: Pool;
  readonly producer: Pick<ConversationProducer, 'send'>;
}

/** Answers that were refused; nothing of the request was stored. */
export class AnswerRefused extends Error {
  readonly why: 'unknown-conversation' | 'erased' | 'unknown-label' | 'not-yours';
  readonly problems: readonly Problem[];

  constructor(why: AnswerRefused['why'], message: string, problems: readonly Problem[]) {
    super(message);
    this.why = why;
    this.problems = problems;
  }
}

/**
 * Sends answers that are individually valid, and notes them on the leases. Sending an answer twice is harmless if it
 * has a `review_id`. A late answer (the lease expired, or another reviewer answered first) is kept like any other.
 * @throws AnswerRefused when a conversation was erased or is unknown, or a corrected label is unknown and `newLabels`
 * is not set.
 */
export async function submitAnswers(
  { pool, producer }: AnswerDeps,
  holder: Holder,
  reviews: readonly ReviewSubmitted[],
  { newLabels, ...trace }: { readonly newLabels: boolean } & Traced,
): Promise<readonly Stored[]> {
  await refuseErased(pool, reviews);
  await refuseUnknownConversations(pool, reviews);
  if (!newLabels) await refuseUnknownLabels(pool, reviews);
  const traced = traceFrom(trace);
  const stored: Stored[] = [];
  // One after another, so that after a failure none is stored whose predecessor, perhaps of the same conversation, is not.
  for (const record of reviews) stored.push(await producer.send({ kind: 'review', record, ...traced }));
  const ids = (undo: boolean) => reviews.filter((one) => isUndo(one) === undo).map((one) => one.conversation_id);
  await markAnswered(pool, holder, ids(false));
  await takeBack(pool, holder, ids(true));
  return stored;
}

/** @throws AnswerRefused naming the conversations that were erased, and when. */
export async function refuseErased(pool: Pick<Pool, 'query'>, reviews: readonly ReviewSubmitted[]): Promise<void> {
  const erased = await erasedAmong(
    pool,
    reviews.map(({ conversation_id }) => conversation_id),
  );
  const [first] = erased;
  if (!first) return;
  throw new AnswerRefused(
    'erased',
    `${erased.length === 1 ? erasedSentence(first) : `${String(erased.length)} conversations were erased.`} Nothing of the request was stored.`,
    erased.map((one) => ({ field: 'conversation_id', message: erasedSentence(one) })),
  );
}

/** Prefix of the review ids that the sync makes from annotations. These ids can be guessed before they exist. */
const ANNOTATIONS = 'label-studio/';

/**
 * A reviewer may withdraw only their own answers. An answer that is not in the table yet has no known owner, but only
 * its sender knows its id.
 * @throws AnswerRefused naming the reviews that are not `reviewer`'s.
 */
export async function refuseWithdrawalsOfOthers(
  pool: Pick<Pool, 'query'>,
  reviewer: string,
  reviews: readonly ReviewSubmitted[],
): Promise<void> {
  const undos = reviews.flatMap(({ conversation_id, withdraws }) =>
    withdraws === null ? [] : [{ conversation_id, withdraws }],
  );
  if (undos.length === 0) return;
  const { rows } = await pool.query<{ id: string }>(
    `SELECT DISTINCT id FROM unnest($1::text[], $2::text[]) AS undo (conversation_id, id)
      WHERE starts_with(id, $4)
         OR EXISTS (SELECT FROM conversation_reviews r
                     WHERE r.conversation_id = undo.conversation_id AND r.review_id = id AND r.reviewer <> $3)`,
    [
      undos.map(({ conversation_id }) => conversation_id),
      undos.map(({ withdraws }) => withdraws),
      ...[reviewer, ANNOTATIONS],
    ],
  );
  if (rows.length === 0) return;
  throw new AnswerRefused(
    'not-yours',
    `What somebody else has answered is not ${reviewer}'s to take back. Nothing of the request was stored.`,
    rows.map(({ id }) => ({ field: 'withdraws', message: `${JSON.stringify(id)} is not an answer of ${reviewer}.` })),
  );
}

async function refuseUnknownConversations(pool: Pool, reviews: readonly ReviewSubmitted[]): Promise<void> {
  const unknown = await unknownConversations(pool, reviews);
  if (unknown.length === 0) return;
  throw new AnswerRefused(
    'unknown-conversation',
    `${unknown.length === 1 ? 'A conversation is' : `${String(unknown.length)} conversations are`} not here, or not yet. Nothing of the request was stored.`,
    unknown.map((id) => ({ field: 'conversation_id', message: `There is no conversation ${JSON.stringify(id)}.` })),
  );
}

async function unknownConversations(
  pool: Pick<Pool, 'query'>,
  reviews: readonly ReviewSubmitted[],
): Promise<readonly string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `SELECT DISTINCT id FROM unnest($1::text[]) AS id
      WHERE NOT EXISTS (SELECT FROM conversation_logs c WHERE c.conversation_id = id)
        AND NOT EXISTS (SELECT FROM review_queue q WHERE q.conversation_id = id)`,
    [reviews.map(({ conversation_id }) => conversation_id)],
  );
  return rows.map(({ id }) => id);
}

/**
 * Checks the labels of corrections whose conversation is in the table. Others may use a label that arrives with their
 * conversation.
 * @throws AnswerRefused naming labels that no conversation has had so far.
 */
export async function refuseSlips(pool: Pick<Pool, 'query'>, reviews: readonly ReviewSubmitted[]): Promise<void> {
  const corrections = reviews.filter(({ corrected_intent }) => corrected_intent !== null);
  if (corrections.length === 0) return;
  const unknown = new Set(await unknownConversations(pool, corrections));
  const known = corrections.filter(({ conversation_id }) => !unknown.has(conversation_id));
  await refuseUnknownLabels(pool, known);
}

async function refuseUnknownLabels(pool: Pick<Pool, 'query'>, reviews: readonly ReviewSubmitted[]): Promise<void> {
  const unknown = await unknownLabels(
    pool,
    reviews.flatMap(({ corrected_intent: intent, corrected_module: module }) =>
      intent === null || module === null ? [] : [{ intent, module }],
    ),
    reviews.map(({ conversation_id }) => conversation_id),
  );
  if (unknown.length === 0) return;
  throw new AnswerRefused(
    'unknown-label',
    'No conversation has had this label so far, so it may be a typing error. Nothing of the request was stored; to add the label, set new_label to true.',
    unknown.map(({ module, intent }) => ({ field: 'corrected_intent', message: `${module}/${intent} is not known.` })),
  );
}
