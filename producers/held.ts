/**
 * Spooled records that Kafka refuses because this producer's user may not write to their topic. They wait by kind, each in a spool of
 * its own, so that nothing is lost and no topic waits for the right to write to another; once it is granted they go on, in their order.
 * Only requests to erase wait behind conversations, too: before its conversation one is a dead letter, and the conversation stays.
 */
import { rmdir } from 'node:fs/promises';
import path from 'node:path';
import { drainSpool } from './drain.ts';
import type { Drain, DrainLink, WaitingRoom } from './drain.ts';
import type { EventKind } from './inputs.ts';
import { NotPermitted } from './kafka-link.ts';
import type { KafkaLink } from './kafka-link.ts';
import { openSpool } from './spool.ts';
import type { Spool, SpoolOptions } from './spool.ts';

/** The folder in the spool's. */
const FOLDER = 'held';

/** The records that wait for a right. */
export interface Held extends WaitingRoom {
  /** Bytes that wait. */
  readonly bytes: number;
  /** How many were sent on or set aside. */
  counts(): ReturnType<Drain['counts']>;
  /** What Kafka has said last of this kind, where something of it waits or there is no connection: another record would be refused, too, or stand behind. */
  refusal(kind: EventKind): NotPermitted | undefined;
  /** Closes. What waits is for the next process. */
  close(): Promise<void>;
}

/** Opens what waits in the folder of a spool and sends it on as soon as that is allowed. `maxBytes` holds for each kind. */
export async function openHeld(options: SpoolOptions, link: DrainLink & Pick<KafkaLink, 'refuses'>): Promise<Held> {
  const { folder, log } = options;
  const open = async (kind: EventKind, behind?: Spool): Promise<{ readonly spool: Spool; readonly drain: Drain }> => {
    const spool = await openSpool({ ...options, folder: path.join(folder, FOLDER, kind) });
    return { spool, drain: drainSpool(spool, link, log, { ...(behind && { behind }) }) };
  };
  const conversation = await open('conversation');
  const byKind = {
    conversation,
    review: await open('review'),
    erasure: await open('erasure', conversation.spool),
  };
  const all = Object.values(byKind);
  const total = (of: (one: (typeof all)[number]) => number) => all.reduce((sum, one) => sum + of(one), 0);
  return {
    isAheadOf: (kind) => byKind[kind].spool.bytes > 0 || (kind === 'erasure' && byKind.conversation.spool.bytes > 0),
    append: (event) => byKind[event.kind].spool.append(event),
    get bytes() {
      return total(({ spool }) => spool.bytes);
    },
    counts: () => ({
      drained: total(({ drain }) => drain.counts().drained),
      setAside: total(({ drain }) => drain.counts().setAside),
    }),
    refusal: (kind) =>
      (byKind[kind].spool.bytes > 0 || !link.connected) && link.refuses(kind) ? new NotPermitted(kind) : undefined,
    async close() {
      for (const { spool, drain } of all) {
        await drain.finish(0);
        await spool.close();
      }
      // Not empty where something waits, or another process has it open.
      for (const name of [...Object.keys(byKind).map((kind) => path.join(FOLDER, kind)), FOLDER])
        await rmdir(path.join(folder, name)).catch(() => undefined);
    },
  };
}
