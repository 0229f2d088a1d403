/**
 * A data set is made by reading the log of training-samples up to fixed offsets. The same offsets and filters give the
 * same bytes on any machine, in whatever order the partitions are read. Rows are sorted by conversation id, which is
 * unique.
 *
 * Exception: conversations erased since are left out, and compaction removes them from the log. A data set that
 * contained them can't be made again.
 *
 * The state is folded on disk (LMDB in a temporary folder below the data folder), so a data set may be larger than
 * memory.
 */
import { createHash } from 'node:crypto';
import type { Database } from 'lmdb';
import type { KafkaConfig } from '../../config.ts';
import type { Watermark } from '../../policy/trigger.ts';
import { readRecords, topicEnds } from '../../runtime/read-topic.ts';
import type { Codecs } from '../../runtime/schema-registry.ts';
import { topics } from '../../topology.ts';
import { labelName } from '../learning/classifier.ts';
import { TrainingError } from '../learning/train.ts';
import { canonicalLine, passes } from './data-row.ts';
import type { Filters } from './data-row.ts';
import { noRoom, openDataSetFolder } from './data-set-folder.ts';
import { fold, inTurns, openTable, openWriter } from './sample-table.ts';
import type { FoldedSample, PlacedRow, PlacedSample } from './sample-table.ts';

/**
 * The description from which a data set can be made again. Equal data sets have equal manifests: no clock, no machine.
 */
export interface Manifest {
  readonly format: 'samvad-data-set-1';
  readonly data_set: string;
  readonly topic: string;
  /** Partition → range of offsets that was read; the end is exclusive. */
  readonly offsets: Readonly<Record<string, readonly [from: number, to: number]>>;
  readonly filters: Filters;
  /** Partition → offset; samples below it are left out, because an earlier version was trained on them. */
  readonly unused_since: Readonly<Record<string, number>> | null;
  /** Versions whose own labels are left out. */
  readonly rolled_back: readonly string[];
  /** The most rows, taken in order of conversation id. */
  readonly limit: number | null;
  readonly policy_versions: readonly string[];
  /** The schemas of the records in those offsets. */
  readonly schema_ids: readonly number[];
  readonly code_version: string;
  readonly rows: number;
  readonly by_module: Readonly<Record<string, number>>;
  readonly by_intent: Readonly<Record<string, number>>;
  readonly by_language: Readonly<Record<string, number>>;
  readonly by_source: Readonly<Record<string, number>>;
  /** SHA-256 of the canonical JSONL. */
  readonly sha256: string;
}

/** Options of a data set. */
export interface DataSetRequest {
  readonly dataSet: string;
  /** The offsets up to which training-samples is read. */
  readonly upTo: Watermark;
  readonly filters?: Filters;
  readonly unusedSince?: Watermark;
  /** Versions that were rolled back. Labels that they gave, and that no person confirmed, are left out. */
  readonly rolledBack?: readonly string[];
  readonly limit?: number;
}

/** A data set on disk. `close` it when it is no longer needed. */
export interface DataSet {
  readonly manifest: Manifest;
  /** Conversations erased after those offsets. After compaction it is unknown which of them had a row here. */
  readonly erasedSince: number;
  /** Samples left out because a version that was rolled back labelled them. */
  readonly byRolledBack: number;
  rows(): Iterable<PlacedRow>;
  close(): Promise<void>;
}

/**
 * The records of training-samples below `upTo`, and later erasures, in offset order within each partition.
 * @throws TrainingError when the log ends before `upTo`.
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

/**
 * @throws TrainingError when a partition ends before its offset in `upTo`; a reader would wait for the rest for ever.
 */
export function checkReach(upTo: Watermark, ends: Watermark): void {
  for (const [partition, to] of upTo) {
    const end = ends.get(partition) ?? 0;
    if (end < to)
      throw new TrainingError(
        `The data set reaches to offset ${to} of partition ${partition}, and the log ends at ${end}: it is that of another cluster, or the log was restored from an earlier state.`,
      );
  }
}

/** The folder of a data set while it is open, and the signal that aborts its making. */
export interface DataSetPlace {
  /** The data set gets its own subfolder in it. */
  readonly folder: string;
  readonly signal?: AbortSignal;
}

/**
 * Makes a data set of `samples`.
 * @throws TrainingError when the disk can't take it. @throws the signal's reason when aborted. In both cases nothing is
 * left on disk.
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
    rolled_back: rolledBack,
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
    rolledBack: manifest.rolled_back,
    ...(manifest.limit !== null && { limit: manifest.limit }),
  };
}

function inOrder(watermark: Watermark): readonly (readonly [number, number])[] {
  return [...watermark].sort(([a], [b]) => a - b);
}

function byName(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}
