/** Sends what is in the spool on to Kafka, oldest first. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { EventKind, ProducedEvent } from './inputs.ts';
import { NotPermitted, RecordTooLarge, Undelivered } from './kafka-link.ts';
import type { KafkaLink } from './kafka-link.ts';
import type { Line } from './lines.ts';
import { readSegment } from './spool.ts';
import type { Segment, Spool } from './spool.ts';
import { logFields } from './trace.ts';

/** Records in flight at a time; a single one as long as Kafka is not known to answer, and after a failure. */
const MAX_WINDOW = 1000;
const IDLE_MS = 100;
const ADOPT_EVERY_MS = 30_000;
const MAX_BACKOFF_MS = 5000;
/** A right is granted by a person: nobody waits for the second in which it works. */
const MAX_REFUSED_BACKOFF_MS = 30_000;

/** The part of the way to Kafka that draining needs. */
export type DrainLink = Pick<KafkaLink, 'connected' | 'healthy' | 'deliver'>;

/** Where lines wait for a right that the producer's user lacks, so that others go on. */
export interface WaitingRoom {
  /** Whether something is there behind which records of this kind have to go. */
  isAheadOf(kind: EventKind): boolean;
  append(event: ProducedEvent): Promise<void>;
}

interface Spooled {
  readonly line: Line;
  readonly event: ProducedEvent;
}

/** What a spool that is drained has to do with others. */
export interface DrainOptions {
  /** Without one, all wait for a right that the oldest lacks. */
  readonly room?: WaitingRoom;
  /** Goes on only while nothing waits there. */
  readonly behind?: Pick<Spool, 'bytes'>;
}

/** A spool that is being drained in the background. */
export interface Drain {
  counts(): { readonly drained: number; readonly setAside: number };
  /** Goes on for `graceMs` at most while Kafka takes records, then stops. */
  finish(graceMs: number): Promise<void>;
}

/** Starts to drain. A segment is deleted once Kafka has acknowledged all its records, or they are in the waiting room. */
export function drainSpool(
  spool: Spool,
  link: DrainLink,
  log: Logger | undefined,
  { room, behind }: DrainOptions = {},
): Drain {
  const stopping = new AbortController();
  const counts = { drained: 0, setAside: 0 };
  let windowSize = MAX_WINDOW;

  async function run(): Promise<void> {
    let adoptedAt = Date.now();
    let backoff = IDLE_MS;
    while (!stopping.signal.aborted) {
      try {
        if (Date.now() - adoptedAt >= ADOPT_EVERY_MS) {
          adoptedAt = Date.now();
          await spool.adoptOrphans();
        }
        const oldest = link.connected ? await spool.next() : undefined;
        const segment = behind && behind.bytes > 0 ? undefined : oldest; // asked last: what is in the segment came before
        if (segment && !existsSync(segment.file)) {
          log?.error({ file: segment.file }, 'a spooled segment was deleted by somebody; its records are lost');
          await spool.remove(segment);
        } else if (segment) await drainSegment(segment, stopping.signal);
        backoff = IDLE_MS;
        if (segment) continue;
      } catch (error) {
        log?.warn({ error: String(error) }, 'the spool could not be sent on; trying again');
        backoff = Math.min(backoff * 2, error instanceof NotPermitted ? MAX_REFUSED_BACKOFF_MS : MAX_BACKOFF_MS);
      }
      await sleep(backoff, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined);
    }
  }

  // A segment that fails half-way is sent again from where it failed: only after a crash from its start.
  const progress = { file: '', lines: 0 };

  async function drainSegment(segment: Segment, signal: AbortSignal): Promise<void> {
    if (progress.file !== segment.file) Object.assign(progress, { file: segment.file, lines: 0 });
    const skip = progress.lines;
    let window: Line[] = [];
    for await (const line of readSegment(segment)) {
      if (line.number <= skip) continue;
      window.push(line);
      if (window.length < (link.healthy ? windowSize : 1)) continue;
      await sendWindow(window);
      window = [];
      if (signal.aborted) return;
    }
    await sendWindow(window);
    await spool.remove(segment);
  }

  async function sendWindow(window: readonly Line[]): Promise<void> {
    const events: Spooled[] = [];
    const erasures: Spooled[] = [];
    try {
      for (const line of window) {
        const event = await readable(line);
        if (event) (event.kind === 'erasure' ? erasures : events).push({ line, event });
      }
      await sendAll(events);
      await sendAll(erasures); // a conversation of this window may have gone to the waiting room
    } catch (error) {
      windowSize = 1; // else those that pass were sent again with each attempt
      throw error;
    }
    if (window.length > 0) windowSize = Math.min(windowSize * 2, MAX_WINDOW);
    progress.lines = window.at(-1)?.number ?? progress.lines;
  }

  async function sendAll(all: readonly Spooled[]): Promise<void> {
    const outcomes = await Promise.allSettled(all.map(sendOne));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async function readable(line: Line): Promise<ProducedEvent | undefined> {
    try {
      return eventOf(line);
    } catch (error) {
      await setAside(line, error);
      return undefined;
    }
  }

  async function sendOne({ line, event }: Spooled): Promise<void> {
    if (room?.isAheadOf(event.kind)) {
      await room.append(event);
      return;
    }
    try {
      await link.deliver(event);
    } catch (error) {
      if (error instanceof NotPermitted && room) {
        log?.error({ ...logFields(event), error: error.message }, 'a spooled record waits for a right in Kafka');
        await room.append(event);
        return;
      }
      if (error instanceof Undelivered || error instanceof NotPermitted) throw error;
      await setAside(line, error, event);
      return;
    }
    counts.drained++;
    log?.debug(logFields(event), 'sent on from the spool');
  }

  /** What can be delivered neither now nor later must not keep the others from going on, and a person may want to see it. */
  async function setAside(line: Line, error: unknown, event?: ProducedEvent): Promise<void> {
    await spool.setAside(line.text ?? '', error instanceof RecordTooLarge ? error.message : String(error));
    counts.setAside++;
    const about = event && logFields(event);
    log?.error({ ...about, error: String(error) }, 'a spooled record can not be delivered; it is in refused.ndjson');
  }

  const running = run();
  return {
    counts: () => counts,
    async finish(graceMs) {
      const deadline = Date.now() + graceMs;
      while (link.healthy && spool.bytes > 0 && Date.now() < deadline) await sleep(20);
      stopping.abort();
      await running;
    },
  };
}

/** A spooled line was written by us, and yet a damaged disk or a later version's rules may make it unreadable. */
function eventOf({ text, problem }: Line): ProducedEvent {
  if (text === undefined) throw new Error(problem);
  const event = JSON.parse(text) as Partial<ProducedEvent> | null;
  const kinds: readonly unknown[] = ['conversation', 'review', 'erasure'] satisfies EventKind[];
  if (!kinds.includes(event?.kind) || typeof event?.record?.conversation_id !== 'string') {
    throw new Error('The line is not a spooled record.');
  }
  return event as ProducedEvent;
}
