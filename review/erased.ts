/** Which conversations were erased, from Postgres: what people ask about them is answered with that. */
import type { Pool } from 'pg';

/** An erased conversation. */
export interface Erased {
  readonly conversation_id: string;
  readonly erased_at: Date;
}

/** Those of `conversationIds` that were erased. */
export async function erasedAmong(
  pool: Pick<Pool, 'query'>,
  conversationIds: readonly string[],
): Promise<readonly Erased[]> {
  // Postgres has no text with a zero character, so no row has such an id.
  const ids = conversationIds.filter((id) => !id.includes('\0'));
  const { rows } = await pool.query<Erased>(
    'SELECT conversation_id, erased_at FROM erasures WHERE conversation_id = ANY ($1) ORDER BY conversation_id',
    [ids],
  );
  return rows;
}

/** The sentence for whoever asks about one. */
export function erasedSentence({ conversation_id, erased_at }: Erased): string {
  return `Conversation ${JSON.stringify(conversation_id)} was erased at ${erased_at.toISOString()}.`;
}
