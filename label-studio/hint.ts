/** A hint that Label Studio has news, from whichever process heard of it to the one that synchronises. */
import type { Pool, PoolClient } from 'pg';

const CHANNEL = 'label_studio_hint';

/** Tells the sync to look now. Many hints at once are one. */
export async function giveHint(pool: Pool): Promise<void> {
  await pool.query(`NOTIFY ${CHANNEL}`);
}

/** Hints that a connection hears. */
export interface Hints {
  /** Resolves at a hint, also one that came since the last call, after `milliseconds`, or when `signal` is given. */
  next(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** Listens on `client`, for as long as it is connected. */
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
