/**
 * Sends spooled records to Kafka, oldest first. A record that Kafka does not take now stays and is tried again in the next pass. It blocks
 * later records of its kind and partition, so that they keep their order; a conversation also blocks requests to erase in its partition.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { EVENT_KINDS } from './inputs.ts';
import type { EventKind, ProducedEvent } from './inputs.ts';
import { laneOf, NotPermitted, RecordTooLarge, Undelivered } from './kafka-link.ts';
import type { KafkaLink } from './kafka-link.ts';
import type { Line } from './lines.ts';
import { readSegment } from './spool.ts';
import type { Segment, Spool } from './spool.ts';
import { logFields } from './trace.ts';

/** Records in flight at a time; only one while Kafka is not known to answer. */
const MAX_WINDOW = 1000;
const IDLE_MS = 100;
const ADOPT_EVERY_MS = 30_000;
const MAX_BACKOFF_MS = 5000;
/** A person grants a right, so there is no need to try again within seconds. */
const MAX_REFUSED_BACKOFF_MS = 30_000;

/** The part of the link to Kafka that draining needs. */
export type DrainLink = Pick<KafkaLink, 'connected' | 'healthy' | 'deliver'>;

/** Where records wait for a right that the producer's user lacks, so that other records are not held up. */
export interface WaitingRoom {
  /** Whether records wait here that must be sent before records of this kind. */
  isAheadOf(kind: EventKind): boolean;
  append(event: ProducedEvent): Promise<void>;
}

interface Spooled {
  readonly line: Line;
  readonly event: ProducedEvent;
  readonly lane: string;
}

/** How draining a spool depends on other spools. */
export interface DrainOptions {
  /** Takes records that lack a right. Without it, all records wait while the oldest one lacks a right. */
  readonly room?: WaitingRoom;
  /** The spool is drained only while this one is empty. */
  readonly behind?: Pick<Spool, 'bytes'>;
}

/** The lanes that are blocked in one pass, each with the reason why its oldest record stays. */
type Blocked = Map<string, unknown>;

/**
 * Drains a spool in the background until `finish`. A segment is deleted once each of its records is acknowledged by Kafka, in the waiting
 * room, or set aside.
 */
export class Drain {
  readonly #spool: Spool;
  readonly #link: DrainLink;
  readonly #log: Logger | undefined;
  readonly #options: DrainOptions;
  readonly #stopping = new AbortController();
  readonly #counts = { drained: 0, setAside: 0 };
  /** The numbers of the lines of a segment that need not be sent again. After a crash they are sent again. */
  readonly #done = new WeakMap<Segment, Set<number>>();
  /** The lanes of the records that stayed in a segment: while all of them are blocked, it need not be read. */
  readonly #lanes = new WeakMap<Segment, ReadonlySet<string>>();
  #blocked: Blocked = new Map();
  /** Whether this pass began while Kafka did not answer. It then ends with Kafka's first answer. */
  #asking = false;
  readonly #running: Promise<void>;

  constructor(spool: Spool, link: DrainLink, log: Logger | undefined, options: DrainOptions = {}) {
    this.#spool = spool;
    this.#link = link;
    this.#log = log;
    this.#options = options;
    this.#running = this.#run();
  }

  counts(): { readonly drained: number; readonly setAside: number } {
    return this.#counts;
  }

  /** Continues for at most `graceMs` while Kafka takes records, then stops. */
  async finish(graceMs: number): Promise<void> {
    const deadline = Date.now() + graceMs;
    while (this.#link.healthy && this.#spool.bytes > 0 && Date.now() < deadline) await sleep(20);
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let adoptedAt = Date.now();
    let backoff = IDLE_MS;
    while (!signal.aborted) {
      try {
        if (Date.now() - adoptedAt >= ADOPT_EVERY_MS) {
          adoptedAt = Date.now();
          await this.#spool.adoptOrphans();
        }
        const passed = await this.#pass();
        backoff = IDLE_MS;
        if (passed) continue;
      } catch (error) {
        this.#log?.warn({ error: String(error) }, 'the spool could not be sent on; trying again');
        backoff = Math.min(backoff * 2, error instanceof NotPermitted ? MAX_REFUSED_BACKOFF_MS : MAX_BACKOFF_MS);
      }
      await sleep(backoff, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /**
   * Tries every record that waits once; resolves to whether there were any. While Kafka does not answer, the pass ends with the first record
   * that fails, and the next pass tries one of another lane, because only the failed lane's partition may be away.
   * @throws the reason why a record stays.
   */
  async #pass(): Promise<boolean> {
    if (!this.#link.connected) return false;
    this.#asking = !this.#link.healthy;
    if (!this.#asking) this.#blocked = new Map();
    const segments = this.#blocked.size > 0 ? this.#spool.sealed : await this.#spool.segments();
    const { behind } = this.#options;
    if (behind && behind.bytes > 0) return false; // checked after `segments` was read, because what these records wait for was spooled before them
    for (const segment of segments) {
      if (this.#isOver()) break;
      if (existsSync(segment.file)) await this.#drainSegment(segment);
      else {
        this.#log?.error({ file: segment.file }, 'a spooled segment is missing; its records are lost');
        await this.#spool.remove(segment);
      }
    }
    if (this.#asking && this.#link.healthy) return true;
    const reasons = [...this.#blocked.values()];
    if (this.#asking) this.#blocked = new Map(); // every lane was tried: the next pass starts over
    for (const why of reasons) throw why;
    return segments.length > 0;
  }

  #isOver(): boolean {
    return this.#stopping.signal.aborted || (this.#asking && this.#link.healthy);
  }

  async #drainSegment(segment: Segment): Promise<void> {
    const known = this.#lanes.get(segment);
    if (known && [...known].every((lane) => isBlocked(lane, this.#blocked))) return;
    const done = this.#done.get(segment) ?? new Set();
    this.#done.set(segment, done);
    const staying: Line[] = [];
    const lanes = new Set<string>();
    let window: Line[] = [];
    const sendWindow = async () => {
      for (const lane of await this.#sendWindow(window, done)) lanes.add(lane);
      staying.push(...window.filter(({ number }) => !done.has(number)));
      window = [];
    };
    for await (const line of readSegment(segment)) {
      if (done.has(line.number)) continue;
      window.push(line);
      if (window.length < (this.#link.healthy ? MAX_WINDOW : 1)) continue;
      await sendWindow();
      if (this.#isOver()) return;
    }
    await sendWindow();
    if (staying.length === 0) {
      await this.#spool.remove(segment);
      return;
    }
    const left = done.size > 0 ? await this.#smaller(segment, staying) : segment;
    this.#lanes.set(left, lanes);
  }

  async #smaller(segment: Segment, staying: readonly Line[]): Promise<Segment> {
    try {
      return await this.#spool.keep(segment, staying);
    } catch (error) {
      this.#log?.warn({ error: String(error) }, 'a spooled segment could not be made smaller'); // the disk may be full
      return segment;
    }
  }

  /** Resolves to the lanes of the records that stay. */
  async #sendWindow(window: readonly Line[], done: Set<number>): Promise<readonly string[]> {
    const events: Spooled[] = [];
    const erasures: Spooled[] = [];
    for (const line of window) {
      const event = await this.#readable(line);
      if (event) (event.kind === 'erasure' ? erasures : events).push({ line, event, lane: laneOf(event) });
      else done.add(line.number);
    }
    await this.#sendAll(events, done);
    await this.#sendAll(erasures, done); // last, because a conversation of this window may stay, or go to the waiting room
    return [...events, ...erasures].filter(({ line }) => !done.has(line.number)).map(({ lane }) => lane);
  }

  async #sendAll(all: readonly Spooled[], done: Set<number>): Promise<void> {
    const free = all.filter(({ lane }) => !isBlocked(lane, this.#blocked));
    const outcomes = await Promise.allSettled(free.map((one) => this.#sendOne(one)));
    const failures: unknown[] = [];
    for (const [i, { line, lane }] of free.entries()) {
      const outcome = outcomes[i];
      if (outcome?.status === 'rejected') {
        failures.push(outcome.reason);
        this.#blocked.set(lane, outcome.reason);
      }
      if (!isBlocked(lane, this.#blocked)) done.add(line.number); // otherwise it is sent again, after the record that stays
    }
    for (const why of failures) if (!(why instanceof Undelivered) || !this.#link.healthy) throw why;
  }

  async #readable(line: Line): Promise<ProducedEvent | undefined> {
    try {
      return eventOf(line);
    } catch (error) {
      await this.#setAside(line, error);
      return undefined;
    }
  }

  async #sendOne({ line, event }: Spooled): Promise<void> {
    const { room } = this.#options;
    if (room?.isAheadOf(event.kind)) {
      await room.append(event);
      return;
    }
    try {
      await this.#link.deliver(event);
    } catch (error) {
      if (error instanceof NotPermitted && room) {
        this.#log?.error({ ...logFields(event), error: error.message }, 'a spooled record waits for a right in Kafka');
        await room.append(event);
        return;
      }
      if (error instanceof Undelivered || error instanceof NotPermitted) throw error;
      await this.#setAside(line, error, event);
      return;
    }
    this.#counts.drained++;
    this.#log?.debug(logFields(event), 'sent on from the spool');
  }

  /** Sets aside a record that can never be delivered, so that it does not block others and a person can look at it. */
  async #setAside(line: Line, error: unknown, event?: ProducedEvent): Promise<void> {
    await this.#spool.setAside(line.text ?? '', error instanceof RecordTooLarge ? error.message : String(error));
    this.#counts.setAside++;
    const about = event && logFields(event);
    this.#log?.error(
      { ...about, error: String(error) },
      'a spooled record can not be delivered; it is in refused.ndjson',
    );
  }
}

/** A blocked conversation also blocks erasures, because an erasure that arrives before its conversation becomes a dead letter. */
function isBlocked(lane: string, blocked: Blocked): boolean {
  return blocked.has(lane) || blocked.has(lane.replace('erasure', 'conversation'));
}

/** The event in a spooled line. A damaged disk, or another version of this SDK, may make a line unreadable. */
function eventOf({ text, problem }: Line): ProducedEvent {
  if (text === undefined) throw new Error(problem);
  const event = JSON.parse(text) as Partial<ProducedEvent> | null;
  const kinds: readonly unknown[] = EVENT_KINDS;
  if (!kinds.includes(event?.kind) || typeof event?.record?.conversation_id !== 'string') {
    throw new Error('The line is not a spooled record.');
  }
  return event as ProducedEvent;
}
