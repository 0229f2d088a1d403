/** Reads from Postgres which conversations were erased, so that requests about them get a precise answer. */
import type { Pool } from 'pg';

/** An erased conversation. */
export interface Erased {
  readonly conversation_id: string;
  readonly erased_at: Date;
}

/** The erased conversations among `conversationIds`. */
export async function erasedAmong(
  pool: Pick<Pool, 'query'>,
  conversationIds: readonly string[],
): Promise<readonly Erased[]> {
  // Postgres text can't hold a zero character, so no row has such an id.
  const ids = conversationIds.filter((id) => !id.includes('\0'));
  const { rows } = await pool.query<Erased>(
    'SELECT conversation_id, erased_at FROM erasures WHERE conversation_id = ANY ($1) ORDER BY conversation_id',
    [ids],
  );
  return rows;
}

/** The sentence that tells a caller about an erased conversation. */
export function erasedSentence({ conversation_id, erased_at }: Erased): string {
  return `Conversation ${JSON.stringify(conversation_id)} was erased at ${erased_at.toISOString()}.`;
}
