/**
 * Spooled records that Kafka refuses because this producer's user may not write to their topic. Each kind waits in its own spool, so
 * that nothing is lost and records of one topic do not wait for the right to write to another. Once the right is granted, they are sent
 * in order. Requests to erase also wait behind conversations: a request that arrives before its conversation becomes a dead letter, and
 * the conversation would not be erased.
 */
import { rmdir } from 'node:fs/promises';
import path from 'node:path';
import { Drain } from './drain.ts';
import type { DrainLink, WaitingRoom } from './drain.ts';
import type { EventKind } from './inputs.ts';
import { NotPermitted } from './kafka-link.ts';
import type { KafkaLink } from './kafka-link.ts';
import { openSpool } from './spool.ts';
import type { Spool, SpoolOptions } from './spool.ts';

/** The subfolder of the spool's folder. */
const FOLDER = 'held';

/** The records that wait for a right. */
export interface Held extends WaitingRoom {
  /** Bytes that wait. */
  readonly bytes: number;
  /** How many were sent on or set aside. */
  counts(): ReturnType<Drain['counts']>;
  /**
   * Kafka's refusal of the last record of this kind, if records of the kind wait or there is no connection: another record would be refused
   * too, or would have to wait behind these.
   */
  refusal(kind: EventKind): NotPermitted | undefined;
  /** Closes. The next process sends what still waits. */
  close(): Promise<void>;
}

/** Opens the waiting records in the folder of a spool and sends them once that is permitted. `maxBytes` applies to each kind. */
export async function openHeld(options: SpoolOptions, link: DrainLink & Pick<KafkaLink, 'refuses'>): Promise<Held> {
  const { folder, log } = options;
  const open = async (kind: EventKind, behind?: Spool): Promise<{ readonly spool: Spool; readonly drain: Drain }> => {
    const spool = await openSpool({ ...options, folder: path.join(folder, FOLDER, kind) });
    return { spool, drain: new Drain(spool, link, log, { ...(behind && { behind }) }) };
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
      // A folder is not empty if records wait there or another process has it open.
      for (const name of [...Object.keys(byKind).map((kind) => path.join(FOLDER, kind)), FOLDER])
        await rmdir(path.join(folder, name)).catch(() => undefined);
    },
  };
}
