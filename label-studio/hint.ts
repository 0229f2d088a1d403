/** Hints that Label Studio has news, sent by the process that received a webhook to the one that synchronises. */
import type { Pool, PoolClient } from 'pg';

const CHANNEL = 'label_studio_hint';

/** Tells the sync to look now. Several hints at once count as one. */
export async function giveHint(pool: Pool): Promise<void> {
  await pool.query(`NOTIFY ${CHANNEL}`);
}

/** The hints that a connection receives. */
export interface Hints {
  /** Resolves at a hint (or at once if one came since the last call), after `milliseconds`, or when `signal` aborts. */
  next(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** Listens on `client` while it is connected. */
export async function hearHints(client: PoolClient): Promise<Hints> {
  let heard = false;
  let wake: () => void = () => undefined;
  client.on('notification', () => {
    heard = true;
    wake();
  });
  await client.query(`LISTEN ${CHANNEL}`);
  return {
    async next(milliseconds, signal) {
      if (!heard && !signal.aborted)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, milliseconds);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
          signal.addEventListener('abort', wake, { once: true });
        });
      signal.removeEventListener('abort', wake);
      heard = false;
    },
  };
}
