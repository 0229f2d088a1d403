/** Hints that Label Studio has news, sent by the process that received a webhook to the one that synchronises. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool, PoolClient } from 'pg';

const CHANNEL = 'label_studio_hint';

/** Tells the sync to look now. Several hints at once count as one. */
export async function giveHint(pool: Pool): Promise<void> {
  await pool.query(`NOTIFY ${CHANNEL}`);
}

/**
 * Listens on `client` while it is connected. The returned function waits for a hint (not at all if one came since the
 * last call), for the given milliseconds, or until `signal` aborts.
 */
export async function hearHints(
  client: PoolClient,
  signal: AbortSignal,
): Promise<(milliseconds: number) => Promise<void>> {
  let heard = new AbortController();
  const wake = () => heard.abort();
  client.on('notification', wake);
  signal.addEventListener('abort', wake, { once: true });
  await client.query(`LISTEN ${CHANNEL}`);
  return async (milliseconds) => {
    if (!signal.aborted) await sleep(milliseconds, undefined, { signal: heard.signal }).catch(() => undefined);
    heard = new AbortController();
  };
}
