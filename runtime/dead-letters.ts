/** Listing dead letters and sending them again. */
import type { DeadLetter } from '../schemas/types.ts';
import type { Topic } from '../stream/topic.ts';
import { fencedWrite } from './fenced-write.ts';
import type { EncodedRecord } from './fenced-write.ts';
import { oneAtATime } from './one-at-a-time.ts';
import { readRecords } from './read-topic.ts';
import type { Source } from './read-topic.ts';
import { watermarksOf } from './watermarks.ts';
import type { Watermark } from './watermarks.ts';

/** A replay's transaction ends at this many letters or bytes, whichever comes first. */
const REPLAY_CHUNK = 1000;
const REPLAY_BYTES = 16 * 1024 * 1024;
/** Transactional id of replays: one process replays at a time. */
export const REPLAY_ID = 'samvad-dead-letters';

/** A dead letter with its place in the dead-letters topic. */
export interface PlacedDeadLetter extends DeadLetter {
  /** `partition/offset` in the dead-letters topic. */
  readonly id: string;
  /** The trace of the record, if it had one. */
  readonly traceparent: string | null;
}

/** What a replay sends for a letter: its own bytes, or a person's correction. */
export interface Resend {
  readonly letter: PlacedDeadLetter;
  readonly corrected?: { readonly key: string; readonly value: Buffer };
}

/** The dead-letters topic and its source. */
export interface DeadLetterLog extends Source {
  readonly topic: Topic<DeadLetter>;
}

/** The mark of a letter that was sent again. */
type Mark = NonNullable<DeadLetter['replayed']>;

/** Letters of a partition that Kafka still keeps, by offset. */
interface Known {
  readTo: number;
  readonly open: Set<number>;
  readonly marks: Map<number, Mark>;
}

/**
 * Which letters there are and which of them were sent again, without their bytes: a broken producer may leave a million letters.
 * Each update reads only what is new.
 */
export class DeadLetterIndex {
  readonly #log: DeadLetterLog;
  readonly #from: ReadonlyMap<number, number> | undefined;
  readonly #partitions = new Map<number, Known>();
  readonly #exclusively = oneAtATime();

  /** Of all letters; with `from`, only of its partitions, from those offsets on. */
  constructor(log: DeadLetterLog, from?: ReadonlyMap<number, number>) {
    this.#log = log;
    this.#from = from;
  }

  /** Reads what is new and returns the end of each partition. @throws Transient when Kafka does not answer. */
  update(): Promise<ReadonlyMap<number, number>> {
    return this.#exclusively(() => this.#read());
  }

  /** The number of letters that were not sent again. */
  get open(): number {
    return [...this.#partitions.values()].reduce((sum, { open }) => sum + open.size, 0);
  }

  isOpen(id: string): boolean {
    const [partition, offset] = placeOf(id);
    return this.#partitions.get(partition)?.open.has(offset) ?? false;
  }

  markOf(partition: number, offset: number): Mark | null {
    return this.#partitions.get(partition)?.marks.get(offset) ?? null;
  }

  async #read(): Promise<ReadonlyMap<number, number>> {
    const { kafka, topic } = this.#log;
    const places = await watermarksOf(kafka, topic.name);
    const [from, ends] = [new Map<number, number>(), new Map<number, number>()];
    for (const [partition, { low, high }] of places) {
      if (this.#from && !this.#from.has(partition)) continue;
      const known = this.#known(partition, { low, high });
      if (high <= known.readTo) continue;
      from.set(partition, known.readTo);
      ends.set(partition, high);
    }
    for await (const { partition, offset, value } of readRecords(this.#log, topic, { from, ends })) {
      if (!value) continue;
      const { open, marks } = this.#partitions.get(partition) ?? missing(partition);
      const { replayed } = value;
      if (replayed === null) open.add(offset);
      // A mark follows its letter in the same partition, so the letter expires before the mark does.
      else if (open.delete(placeOf(replayed.id)[1])) marks.set(placeOf(replayed.id)[1], replayed);
    }
    for (const [partition, end] of ends) (this.#partitions.get(partition) ?? missing(partition)).readTo = end;
    return new Map([...places].map(([partition, { high }]) => [partition, high]));
  }

  /** What is known of a partition, without expired letters. */
  #known(partition: number, { low, high }: Watermark): Known {
    const before = this.#partitions.get(partition);
    const first = Math.max(low, this.#from?.get(partition) ?? 0);
    // If the end went back, the topic was deleted and created again.
    const known =
      before && before.readTo <= high
        ? before
        : { readTo: first, open: new Set<number>(), marks: new Map<number, Mark>() };
    this.#partitions.set(partition, known);
    known.readTo = Math.max(known.readTo, first);
    for (const offset of known.open) {
      if (offset >= low) break; // offsets were added in ascending order
      known.open.delete(offset);
    }
    for (const offset of known.marks.keys()) if (offset < low) known.marks.delete(offset);
    return known;
  }
}

/**
 * The letters that Kafka keeps, each with its mark, in offset order within a partition. The topic is read twice, because a mark
 * follows its letter and only one letter at a time is in memory. An `index` that was used before saves a part of the first reading.
 * @throws Transient when Kafka does not answer.
 */
export async function* readDeadLetters(
  log: DeadLetterLog,
  index: DeadLetterIndex = new DeadLetterIndex(log),
  from?: ReadonlyMap<number, number>,
): AsyncGenerator<PlacedDeadLetter> {
  const reached = [...(await index.update())].filter(([partition]) => from === undefined || from.has(partition));
  const ends = new Map(reached.filter(([partition, end]) => end > (from?.get(partition) ?? 0)));
  for await (const { partition, offset, value: letter, traceparent } of readRecords(log, log.topic, { from, ends })) {
    if (letter?.replayed !== null) continue;
    yield { ...letter, replayed: index.markOf(partition, offset), id: `${partition}/${offset}`, traceparent };
  }
}

/** The letters with these `ids`, as far as Kafka keeps them. Reads only their partitions, from the first letter on. */
export async function findDeadLetters(log: DeadLetterLog, ids: ReadonlySet<string>): Promise<PlacedDeadLetter[]> {
  const from = new Map<number, number>();
  for (const [partition, offset] of [...ids].map(placeOf))
    from.set(partition, Math.min(offset, from.get(partition) ?? Infinity));
  const found: PlacedDeadLetter[] = [];
  for await (const letter of readDeadLetters(log, new DeadLetterIndex(log, from), from)) {
    if (!ids.has(letter.id)) continue;
    found.push(letter);
    if (found.length === ids.size) break;
  }
  return found;
}

function placeOf(id: string): readonly [partition: number, offset: number] {
  const [partition, offset] = id.split('/');
  return [Number(partition), Number(offset)];
}

function missing(partition: number): never {
  throw new Error(`Partition ${partition} of the dead letters was not asked for; this is a mistake in the program.`);
}

/**
 * Sends letters again, each once: one transaction writes the bytes to their original topic, in their trace, and a mark after the letter.
 * No other replay overlaps it. Many letters take several transactions. Letters that were sent meanwhile are skipped.
 * Returns the number of letters sent.
 * @throws Transient when Kafka does not answer, or another replay interrupts this one; letters sent before that are marked.
 */
export async function replayDeadLetters(
  log: DeadLetterLog,
  resends: Iterable<Resend> | AsyncIterable<Resend>,
  told: { readonly by: string; readonly at: number },
): Promise<number> {
  const index = new DeadLetterIndex(log);
  let sent = 0;
  for await (const chunk of chunks(resends)) {
    let open: readonly Resend[] = [];
    await fencedWrite(log.kafka, REPLAY_ID, async () => {
      await index.update();
      open = chunk.filter(({ letter }) => index.isOpen(letter.id));
      return open.flatMap((resend) => recordsOf(log, resend, told));
    });
    sent += open.length;
  }
  return sent;
}

async function* chunks(resends: Iterable<Resend> | AsyncIterable<Resend>): AsyncGenerator<readonly Resend[]> {
  let [chunk, bytes]: [Resend[], number] = [[], 0];
  for await (const resend of resends) {
    chunk.push(resend);
    bytes += (resend.corrected ?? resend.letter).value?.length ?? 0;
    if (chunk.length < REPLAY_CHUNK && bytes < REPLAY_BYTES) continue;
    yield chunk;
    [chunk, bytes] = [[], 0];
  }
  if (chunk.length > 0) yield chunk;
}

function recordsOf(
  { codecs, topic }: DeadLetterLog,
  { letter, corrected }: Resend,
  { by, at }: { readonly by: string; readonly at: number },
): readonly EncodedRecord[] {
  const mark = markOf(letter, { by, at, corrected: corrected !== undefined });
  return [
    {
      topic: letter.topic,
      partition: null,
      timestamp: at,
      traceparent: letter.traceparent,
      ...(corrected ?? { key: letter.key, value: letter.value }),
    },
    {
      topic: topic.name,
      partition: placeOf(letter.id)[0],
      key: letter.key,
      value: codecs.of(topic).encode(mark),
      timestamp: at,
    },
  ];
}

function markOf(
  letter: PlacedDeadLetter,
  told: { readonly by: string; readonly at: number; readonly corrected: boolean },
): DeadLetter {
  const { code, message, component, topic, partition, offset, timestamp, id } = letter;
  return {
    ...{ code, message, component, topic, partition, offset, timestamp, key: null, value: null },
    replayed: { id, ...told },
  };
}
