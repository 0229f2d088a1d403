/**
 * A data set, made by reading the log of training-samples up to fixed offsets: the same offsets and filters give the same
 * bytes, on any machine, however the partitions are read. Rows are sorted by conversation id, which is unique.
 *
 * But one thing: what was erased since is left out, and compaction takes it out of the log. A data set that had rows of it can't be made
 * again.
 *
 * What stands is folded on disk (LMDB in a folder below the data folder, which goes away), so that a data set may be larger than memory.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { open } from 'lmdb';
import type { Database } from 'lmdb';
import type { KafkaConfig } from '../../config.ts';
import type { Watermark } from '../../policy/trigger.ts';
import { readRecords, topicEnds } from '../../runtime/read-topic.ts';
import type { Codecs } from '../../runtime/schema-registry.ts';
import type { SampleApproved, SampleEvent } from '../../schemas/types.ts';
import { topics } from '../../topology.ts';
import { labelName } from '../learning/classifier.ts';
import { TrainingError } from '../learning/train.ts';
import { canonicalLine, passes, rowOf } from './data-row.ts';
import type { DataRow, Filters } from './data-row.ts';
import { noRoom, openDataSetFolder } from './data-set-folder.ts';

/** What a data set is, so that it can be made again. Equal data sets have equal manifests: no clock, no machine. */
export interface Manifest {
  readonly format: 'samvad-data-set-1';
  readonly data_set: string;
  readonly topic: string;
  /** Partition → offsets of the log that were read, from and (exclusively) to. */
  readonly offsets: Readonly<Record<string, readonly [from: number, to: number]>>;
  readonly filters: Filters;
  /** Partition → offset; samples below it are left out, because an earlier version was trained on them. */
  readonly unused_since: Readonly<Record<string, number>> | null;
  /** Versions whose own labels are left out; absent where none is. */
  readonly rolled_back?: readonly string[];
  /** At most so many rows, first in order of conversation id. */
  readonly limit: number | null;
  readonly policy_versions: readonly string[];
  /** Schemas that the records of those offsets were written with. */
  readonly schema_ids: readonly number[];
  readonly code_version: string;
  readonly rows: number;
  readonly by_module: Readonly<Record<string, number>>;
  readonly by_intent: Readonly<Record<string, number>>;
  readonly by_language: Readonly<Record<string, number>>;
  readonly by_source: Readonly<Record<string, number>>;
  /** Of the canonical JSONL. */
  readonly sha256: string;
}

/** What to put into a data set. */
export interface DataSetRequest {
  readonly dataSet: string;
  /** Offsets up to which training-samples is read. */
  readonly upTo: Watermark;
  readonly filters?: Filters;
  readonly unusedSince?: Watermark;
  /** Versions that were rolled back: what they labelled themselves, and no person has vouched for, is left out. */
  readonly rolledBack?: readonly string[];
  readonly limit?: number;
}

/** A row and the place of its approval in the log. */
export interface PlacedRow {
  readonly row: DataRow;
  /** `review_propensity` of the sample. Not in the row: data sets have the bytes that they always had. */
  readonly reviewPropensity: number | null;
  readonly partition: number;
  readonly offset: number;
}

/** A data set on disk. `close` it when it is no longer needed. */
export interface DataSet {
  readonly manifest: Manifest;
  /** Conversations erased after those offsets. Which of them had a row here can't be told once compaction has taken it. */
  readonly erasedSince: number;
  /** Samples that are left out because a version labelled them that was rolled back. */
  readonly byRolledBack: number;
  rows(): Iterable<PlacedRow>;
  close(): Promise<void>;
}

/** A record of training-samples. */
export interface PlacedSample {
  readonly partition: number;
  readonly offset: number;
  readonly schemaId: number;
  readonly event: SampleEvent;
}

/**
 * The records of training-samples below `upTo`, and what was erased since, in offset order within each partition.
 * @throws TrainingError when the log does not reach so far.
 */
export async function* readSamples(kafka: KafkaConfig, codecs: Codecs, upTo: Watermark): AsyncGenerator<PlacedSample> {
  const now = await topicEnds(kafka, topics.trainingSamples.name);
  checkReach(upTo, now);
  const ends = new Map([...upTo].filter(([, to]) => to > 0).map(([p, to]) => [p, Math.max(to, now.get(p) ?? 0)]));
  const records = readRecords({ kafka, codecs }, topics.trainingSamples, { ends });
  for await (const { partition, offset, schemaId, value: event } of records) {
    if (event === null) continue;
    if (offset >= (upTo.get(partition) ?? 0) && event.erased_at === null) continue;
    yield { partition, offset, schemaId, event };
  }
}

/** @throws TrainingError when a partition ends before the offset up to which it is to be read; a reader would wait for the rest. */
export function checkReach(upTo: Watermark, ends: Watermark): void {
  for (const [partition, to] of upTo) {
    const end = ends.get(partition) ?? 0;
    if (end < to)
      throw new TrainingError(
        `The data set reaches to offset ${to} of partition ${partition}, and the log ends at ${end}: it is that of another cluster, or the log was restored from an earlier state.`,
      );
  }
}

/** So many samples are queued to be written, and so many rows looked at in one turn, before other work of the process is let in. */
const FLUSH = 10_000;

/** Where a data set is kept while it is open, and what ends its making. */
export interface DataSetPlace {
  /** It gets a folder of its own in this one. */
  readonly folder: string;
  readonly signal?: AbortSignal;
}

/**
 * Makes a data set of `samples`.
 * @throws TrainingError when the disk can't take it; the signal's reason when aborted. Then nothing of it is left.
 */
export async function buildDataSet(
  request: DataSetRequest,
  samples: AsyncIterable<PlacedSample>,
  codeVersion: string,
  { folder: parent, signal = new AbortController().signal }: DataSetPlace,
): Promise<DataSet> {
  const folder = await openDataSetFolder(parent).catch((cause: unknown) => {
    throw noRoom(parent, cause);
  });
  let table: Database<FoldedSample, string> | undefined;
  const close = async () => {
    await table?.close();
    await folder.remove();
  };
  try {
    table = openTable(folder.path);
    const { schemaIds, erased } = await fold(openWriter(table, parent), samples, request.upTo, signal);
    const opened = table;
    const rows = () => standing(opened, request);
    const manifest = await manifestOf(request, inTurns(rows(), signal), schemaIds, codeVersion);
    const byRolledBack = await countByRolledBack(table, request, signal);
    return { manifest, erasedSince: erased.size, byRolledBack, rows, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function openTable(folder: string): Database<FoldedSample, string> {
  try {
    return open({ path: path.join(folder, 'data.mdb'), noSubdir: true, encoding: 'json', noSync: true });
  } catch (cause) {
    throw noRoom(folder, cause);
  }
}

/** The items, with a pause after each FLUSH of them. @throws the signal's reason when aborted. */
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

/** A table that is written to without waiting. */
interface Writer {
  /** What was committed. */
  get(id: string): FoldedSample | undefined;
  put(id: string, sample: FoldedSample): void;
  remove(id: string): void;
  /** Waits until all is committed. @throws TrainingError when something was not. */
  committed(): Promise<void>;
}

function openWriter(table: Database<FoldedSample, string>, folder: string): Writer {
  let failure: { readonly cause: unknown } | undefined;
  const watch = async (write: PromiseLike<unknown>) => {
    try {
      await write;
    } catch (error) {
      // LMDB's reason is a promise of its own, which would end the process too.
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

/** A row that stood at the end of the offsets. */
interface FoldedSample extends PlacedRow {
  /** The version whose label it is; null where a person vouches for it. */
  readonly labelledBy: string | null;
  /** Whether its conversation was erased since. */
  readonly erased?: true;
}

/** What stands after all `samples` below `upTo`, by conversation; returns the schema ids, and what was erased since. */
async function fold(
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
      await table.committed(); // before it a get does not see what was put
      const stood = table.get(event.conversation_id);
      if (stood) table.put(event.conversation_id, { ...stood, erased: true });
      erased.add(event.conversation_id);
      continue;
    }
    schemaIds.add(schemaId);
    if (event.approved) table.put(event.conversation_id, foldedSample(event.approved, partition, offset));
    else if (event.withdrawn) table.remove(event.conversation_id);
    if (++read % FLUSH === 0) await table.committed(); // else a fast reader would queue all of the log in memory
  }
  await table.committed();
  signal.throwIfAborted();
  return { schemaIds, erased };
}

function foldedSample(approved: SampleApproved, partition: number, offset: number): FoldedSample {
  const labelledBy = approved.source === 'auto' ? approved.model_version : null;
  return { row: rowOf(approved), reviewPropensity: approved.review_propensity, labelledBy, partition, offset };
}

function isByRolledBack({ labelledBy }: FoldedSample, { rolledBack = [] }: DataSetRequest): boolean {
  return labelledBy !== null && rolledBack.includes(labelledBy);
}

async function countByRolledBack(
  table: Database<FoldedSample, string>,
  request: DataSetRequest,
  signal: AbortSignal,
): Promise<number> {
  const all = { ...request, rolledBack: [] };
  let rows = 0;
  if (request.rolledBack?.length)
    for await (const sample of inTurns(standing(table, all), signal)) if (isByRolledBack(sample, request)) rows++;
  return rows;
}

function* standing(table: Database<FoldedSample, string>, request: DataSetRequest): Generator<FoldedSample> {
  for (const sample of selected(table, request)) if (sample.erased !== true) yield sample;
}

/** The rows as they were at the end of the offsets. */
function* selected(table: Database<FoldedSample, string>, request: DataSetRequest): Generator<FoldedSample> {
  const { filters = {}, unusedSince, limit = Infinity } = request;
  let rows = 0;
  for (const { value } of table.getRange()) {
    if (rows >= limit) return;
    if (value.offset < (unusedSince?.get(value.partition) ?? 0) || !passes(value.row, filters)) continue;
    if (isByRolledBack(value, request)) continue;
    rows++;
    yield value;
  }
}

async function manifestOf(
  { dataSet, upTo, filters = {}, unusedSince, rolledBack = [], limit }: DataSetRequest,
  rows: AsyncIterable<PlacedRow>,
  schemaIds: ReadonlySet<number>,
  codeVersion: string,
): Promise<Manifest> {
  const hash = createHash('sha256');
  const policies = new Set<string>();
  const counts = {
    module: new Map<string, number>(),
    intent: new Map<string, number>(),
    language: new Map<string, number>(),
    source: new Map<string, number>(),
  };
  const count = (by: keyof typeof counts, name: string) => counts[by].set(name, (counts[by].get(name) ?? 0) + 1);
  let total = 0;
  for await (const { row } of rows) {
    total++;
    hash.update(canonicalLine(row));
    policies.add(row.policy_version);
    count('module', row.module);
    count('intent', labelName(row));
    count('language', row.language);
    count('source', row.source);
  }
  return {
    format: 'samvad-data-set-1',
    data_set: dataSet,
    topic: topics.trainingSamples.name,
    offsets: Object.fromEntries(inOrder(upTo).map(([partition, to]) => [partition, [0, to] as const])),
    filters: JSON.parse(JSON.stringify(filters)) as Filters,
    unused_since: unusedSince ? Object.fromEntries(inOrder(unusedSince)) : null,
    // Absent where there is none, so that data sets from before it have the manifest that they always had.
    ...(rolledBack.length > 0 && { rolled_back: rolledBack }),
    limit: limit ?? null,
    policy_versions: [...policies].sort(),
    schema_ids: [...schemaIds].sort((a, b) => a - b),
    code_version: codeVersion,
    rows: total,
    by_module: byName(counts.module),
    by_intent: byName(counts.intent),
    by_language: byName(counts.language),
    by_source: byName(counts.source),
    sha256: hash.digest('hex'),
  };
}

/** The request that makes the data set of `manifest` again. */
export function requestOf(manifest: Manifest): DataSetRequest {
  const watermark = (offsets: Readonly<Record<string, number>>) =>
    new Map(Object.entries(offsets).map(([partition, offset]) => [Number(partition), offset]));
  return {
    dataSet: manifest.data_set,
    upTo: watermark(Object.fromEntries(Object.entries(manifest.offsets).map(([p, [, to]]) => [p, to]))),
    filters: manifest.filters,
    ...(manifest.unused_since && { unusedSince: watermark(manifest.unused_since) }),
    ...(manifest.rolled_back && { rolledBack: manifest.rolled_back }),
    ...(manifest.limit !== null && { limit: manifest.limit }),
  };
}

function inOrder(watermark: Watermark): readonly (readonly [number, number])[] {
  return [...watermark].sort(([a], [b]) => a - b);
}

function byName(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}
