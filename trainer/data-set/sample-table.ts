/**
 * The table of a data set: each conversation's sample at the end of the offsets. It is on disk (LMDB), so it may be
 * larger than memory.
 */
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { open } from 'lmdb';
import type { Database } from 'lmdb';
import type { Watermark } from '../../policy/trigger.ts';
import type { SampleApproved, SampleEvent } from '../../schemas/types.ts';
import { rowOf } from './data-row.ts';
import type { DataRow } from './data-row.ts';
import { noRoom } from './data-set-folder.ts';

/** A record of training-samples. */
export interface PlacedSample {
  readonly partition: number;
  readonly offset: number;
  readonly schemaId: number;
  readonly event: SampleEvent;
}

/** A row and the position of its approval in the log. */
export interface PlacedRow {
  readonly row: DataRow;
  /**
   * `review_propensity` of the sample. Not part of the row, because the bytes of existing data sets must not change.
   */
  readonly reviewPropensity: number | null;
  readonly partition: number;
  readonly offset: number;
}

/** The most samples queued for writing, and the most rows processed before other work of the process gets a turn. */
const FLUSH = 10_000;

/** An empty table in `folder`. @throws TrainingError when the disk can't take it. */
export function openTable(folder: string): Database<FoldedSample, string> {
  try {
    return open({ path: path.join(folder, 'data.mdb'), noSubdir: true, encoding: 'json', noSync: true });
  } catch (cause) {
    throw noRoom(folder, cause);
  }
}

/** The items, with a pause after every FLUSH of them. @throws the signal's reason when aborted. */
export async function* inTurns<T>(items: Iterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  let turn = 0;
  for (const item of items) {
    if (++turn % FLUSH === 0) {
      await setImmediate();
      signal.throwIfAborted();
    }
    yield item;
  }
}

/** A table with asynchronous writes. */
interface Writer {
  /** The committed value. */
  get(id: string): FoldedSample | undefined;
  put(id: string, sample: FoldedSample): void;
  remove(id: string): void;
  /** Waits until all writes are committed. @throws TrainingError when one failed. */
  committed(): Promise<void>;
}

/** Writes to `table`, which is in `folder`. */
export function openWriter(table: Database<FoldedSample, string>, folder: string): Writer {
  let failure: { readonly cause: unknown } | undefined;
  const watch = async (write: PromiseLike<unknown>) => {
    try {
      await write;
    } catch (error) {
      // LMDB's reason is a separate promise, whose rejection would end the process if it were not handled.
      const reason: unknown = (error as { commitError?: unknown }).commitError ?? error;
      const cause: unknown = reason instanceof Promise ? await reason.catch((told: unknown) => told) : reason;
      failure ??= { cause };
    }
  };
  let last: Promise<unknown> = Promise.resolve();
  const write = (written: Promise<unknown>) => {
    last = watch(written);
  };
  return {
    get: (id) => table.get(id),
    put: (id, sample) => write(table.put(id, sample)),
    remove: (id) => write(table.remove(id)),
    async committed() {
      await last;
      await watch(table.committed);
      if (failure) throw noRoom(folder, failure.cause);
    },
  };
}

/** A row in its state at the end of the offsets. */
export interface FoldedSample extends PlacedRow {
  /** The version that gave the label; null when a person confirmed it. */
  readonly labelledBy: string | null;
  /** Whether its conversation was erased since. */
  readonly erased?: true;
}

/** Folds all `samples` below `upTo` by conversation. Returns the schema ids and the number of later erasures. */
export async function fold(
  table: Writer,
  samples: AsyncIterable<PlacedSample>,
  upTo: Watermark,
  signal: AbortSignal,
): Promise<{ readonly schemaIds: ReadonlySet<number>; readonly erased: ReadonlySet<string> }> {
  const schemaIds = new Set<number>();
  const erased = new Set<string>();
  let read = 0;
  for await (const { partition, offset, schemaId, event } of samples) {
    signal.throwIfAborted();
    if (offset >= (upTo.get(partition) ?? 0)) {
      await table.committed(); // a get does not see uncommitted puts
      const stood = table.get(event.conversation_id);
      if (stood) table.put(event.conversation_id, { ...stood, erased: true });
      erased.add(event.conversation_id);
      continue;
    }
    schemaIds.add(schemaId);
    if (event.approved) table.put(event.conversation_id, foldedSample(event.approved, partition, offset));
    else if (event.withdrawn) table.remove(event.conversation_id);
    if (++read % FLUSH === 0) await table.committed(); // otherwise a fast reader would queue the whole log in memory
  }
  await table.committed();
  signal.throwIfAborted();
  return { schemaIds, erased };
}

function foldedSample(approved: SampleApproved, partition: number, offset: number): FoldedSample {
  const labelledBy = approved.source === 'auto' ? approved.model_version : null;
  return { row: rowOf(approved), reviewPropensity: approved.review_propensity, labelledBy, partition, offset };
}
