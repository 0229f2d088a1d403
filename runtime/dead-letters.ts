/** Dead letters outside a processor's transaction: writing them for readers, listing and replaying them. */
import type { Producer } from 'node-rdkafka';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import type { DeadLetter } from '../schemas/types.ts';
import type { Poisoned, RawRecord } from '../stream/batch.ts';
import { deadLetter } from '../stream/batch.ts';
import { subjectOf } from '../stream/event-key.ts';
import type { Poison } from '../stream/poison.ts';
import type { Topic } from '../stream/topic.ts';
import { fencedWrite } from './fenced-write.ts';
import type { EncodedRecord } from './fenced-write.ts';
import { librdkafkaConfig, MAX_MESSAGE_BYTES, READER_GROUP } from './kafka-clients.ts';
import { traceFields } from './log.ts';
import { call, connectProducer, disconnect, headersOf } from './rdkafka.ts';
import { readRecords } from './read-topic.ts';
import type { Source } from './read-topic.ts';
import type { Codecs } from './schema-registry.ts';
import { openWatermarks } from './watermarks.ts';
import type { Watermark } from './watermarks.ts';

/** Writes dead letters for components that only read. At least once: a reader that fails after it writes again. */
export interface DeadLetterWriter {
  /** Resolves when Kafka has it. The next one is written after that. @throws Transient when it can't be written now. */
  write(component: string, raw: RawRecord, poison: Poison): Promise<void>;
  close(): Promise<void>;
}

/** How long Kafka may take for a letter, and how often the client is asked for its report. */
const WRITE_MS = 10_000;
const REPORTS_MS = 5;

/** A writer to `topic`, which connects with the first letter, for one letter at a time. @throws Transient when a letter can't be written now. */
export function deadLetterWriter(kafka: KafkaConfig, codecs: Codecs, topic: Topic<DeadLetter>): DeadLetterWriter {
  let connecting: Promise<Producer> | undefined;
  const connect = () => {
    connecting ??= connectProducer(
      {
        ...librdkafkaConfig(kafka, 'dead-letters'),
        'enable.idempotence': true,
        'message.max.bytes': MAX_MESSAGE_BYTES,
        dr_cb: true,
      },
      { 'message.timeout.ms': WRITE_MS },
    ).then((producer) => {
      producer.setPollInterval(REPORTS_MS);
      return producer;
    });
    connecting.catch(() => (connecting = undefined));
    return connecting;
  };
  async function close(): Promise<void> {
    const producer = await connecting?.catch(() => undefined);
    connecting = undefined;
    if (producer) await disconnect(producer);
  }
  return {
    async write(component, raw, poison) {
      const producer = await connect();
      const value = codecs.of(topic).encode(deadLetter(component, raw, poison));
      try {
        // What was refused leaves the client's queue too, so only a report tells that Kafka has it. Its time is now, not the record's: a topic
        // of before it stamped arrivals by itself would drop the letter of an old record at once.
        await call('writing a dead letter', (done) => {
          producer.once('delivery-report', (error) => done(error, undefined));
          producer.produce(topic.name, null, value, raw.key, Date.now(), undefined, headersOf(raw.traceparent));
        });
      } catch (error) {
        await close(); // after an unknown outcome only a new producer is of use
        throw error;
      }
    },
    close,
  };
}

/** Dead letters of a batch that are logged one by one: a broken producer must not fill the disk of the log. */
const MAX_LOGGED = 20;
/** An id has 200 UTF-16 code units at most. */
const MAX_LOGGED_KEY_BYTES = 600;

/** Logs records that became dead letters: where each stood, what its key is about under what `topics` call it, and its trace. */
export function logPoisoned(log: Logger, topics: readonly Topic[], poisoned: readonly Poisoned[]): void {
  for (const [{ topic, partition, offset, key, traceparent }, { code }] of poisoned.slice(0, MAX_LOGGED)) {
    const keyName = topics.find(({ name }) => name === topic)?.key.replaceAll(/\W+/g, '_') ?? 'key';
    const subject = key && subjectOf(key.toString('utf8', 0, MAX_LOGGED_KEY_BYTES));
    const about = { [keyName]: subject, ...traceFields(traceparent) };
    log.warn({ code, topic, partition, offset, ...about }, 'dead letter');
  }
  if (poisoned.length > MAX_LOGGED) log.warn({ more: poisoned.length - MAX_LOGGED }, 'and more dead letters');
}

/** Letters of a transaction, and about so many bytes. */
const REPLAY_CHUNK = 1000;
const REPLAY_BYTES = 16 * 1024 * 1024;
/** Letters are sent again under this id, by one process at a time. */
export const REPLAY_ID = 'samvad-dead-letters';

/** A dead letter and its own place. */
export interface PlacedDeadLetter extends DeadLetter {
  /** `partition/offset` in the dead-letters topic. */
  readonly id: string;
  /** The trace of the record, if it had one. */
  readonly traceparent: string | null;
}

/** What is sent in a letter's place: its own bytes, or those that a person has corrected. */
export interface Resend {
  readonly letter: PlacedDeadLetter;
  readonly corrected?: { readonly key: string; readonly value: Buffer };
}

/** The topic of dead letters, and what it takes to read it. */
export interface DeadLetterLog extends Source {
  readonly topic: Topic<DeadLetter>;
}

/** What became of a letter. */
type Mark = NonNullable<DeadLetter['replayed']>;

/** Letters of a partition whose time is not over, by offset. */
interface Known {
  readTo: number;
  readonly open: Set<number>;
  readonly marks: Map<number, Mark>;
}

/**
 * Which letters there are and what became of them, without their bytes: a broken producer may have left a million. A look
 * reads what has come since the last one.
 */
export class DeadLetterIndex {
  readonly #log: DeadLetterLog;
  readonly #from: ReadonlyMap<number, number> | undefined;
  readonly #partitions = new Map<number, Known>();
  #looking: Promise<unknown> = Promise.resolve();

  /** Of all letters, or of those in the partitions of `from` from an offset on. */
  constructor(log: DeadLetterLog, from?: ReadonlyMap<number, number>) {
    this.#log = log;
    this.#from = from;
  }

  /** Looks again, and gives the end of each partition up to which it knows. @throws Transient when Kafka does not answer. */
  update(): Promise<ReadonlyMap<number, number>> {
    const look = this.#looking.then(() => this.#read());
    this.#looking = look.catch(() => undefined);
    return look;
  }

  /** Letters that were not sent again. */
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
    const watermarks = await openWatermarks(kafka, READER_GROUP);
    const places = await watermarks.ofAll(topic.name).finally(() => watermarks.close());
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
      // A mark stands behind its letter, in the same partition: the letter goes first when their time is over.
      else if (open.delete(placeOf(replayed.id)[1])) marks.set(placeOf(replayed.id)[1], replayed);
    }
    for (const [partition, end] of ends) (this.#partitions.get(partition) ?? missing(partition)).readTo = end;
    return new Map([...places].map(([partition, { high }]) => [partition, high]));
  }

  /** What is known of a partition, without the letters whose time is over. */
  #known(partition: number, { low, high }: Watermark): Known {
    const before = this.#partitions.get(partition);
    const first = Math.max(low, this.#from?.get(partition) ?? 0);
    // An end that went back is that of a topic which was made anew.
    const known =
      before && before.readTo <= high
        ? before
        : { readTo: first, open: new Set<number>(), marks: new Map<number, Mark>() };
    this.#partitions.set(partition, known);
    known.readTo = Math.max(known.readTo, first);
    for (const offset of known.open) {
      if (offset >= low) break; // in the order in which they came
      known.open.delete(offset);
    }
    for (const offset of known.marks.keys()) if (offset < low) known.marks.delete(offset);
    return known;
  }
}

/**
 * The letters that are kept, each with what became of it, in offset order within a partition. The topic is read twice, because
 * a mark stands behind its letter, and one letter at a time is in memory. `index` may know some of it already.
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

/** Those of the letters `ids` that are kept. Only their partitions are read, from the first of them on. */
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
 * Sends letters again, each once: the bytes go to the topic that they came from, in their trace, and a mark behind the letter, in one
 * transaction that no other replay overlaps; of many letters some at a time. Letters that were sent meanwhile are passed over.
 * Returns how many were sent.
 * @throws Transient when Kafka does not answer, or another replay came in between; what was sent by then is marked.
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
