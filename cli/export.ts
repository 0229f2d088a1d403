import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Command, Option } from 'commander';
import { findLog, folderOf } from '../app/environment.ts';
import type { PreparedLog } from '../app/environment.ts';
import { columns, printText, progress, untilStopped, UsageError } from '../app/terminal.ts';
import { fencedWrite } from '../runtime/fenced-write.ts';
import { Transient } from '../runtime/rdkafka.ts';
import { topicEnds } from '../runtime/read-topic.ts';
import { reasonOf } from '../runtime/reason.ts';
import type { ExportJob } from '../schemas/types.ts';
import { DATA_SET, topics } from '../topology.ts';
import { codeVersion } from '../trainer/code-version.ts';
import type { Filters } from '../trainer/data-set/data-row.ts';
import { buildDataSet, readSamples, requestOf } from '../trainer/data-set/data-set.ts';
import type { DataSet, DataSetRequest, Manifest } from '../trainer/data-set/data-set.ts';
import { DATA_SETS } from '../trainer/data-set/data-set-folder.ts';
import { checkPlace, writeExport } from '../trainer/data-set/export.ts';
import { formatNames } from '../trainer/data-set/formats.ts';
import type { FormatName } from '../trainer/data-set/formats.ts';
import { openModelLog } from '../trainer/model-log.ts';
import { share, time, whole } from './options.ts';

interface Options {
  readonly output: string;
  readonly format: FormatName;
  readonly limit?: number;
  readonly language?: string;
  readonly module?: string;
  readonly minConfidence?: number;
  readonly maxConfidence?: number;
  readonly from?: Date;
  readonly to?: Date;
  readonly unused?: boolean;
  readonly forVersion?: string;
  readonly manifest?: string;
  readonly json?: boolean;
}

const NOTE_ATTEMPTS = 3;

/** Options that select rows. They conflict with a manifest, which already selects them. */
const CHOOSING = ['limit', 'language', 'module', 'minConfidence', 'maxConfidence', 'from', 'to', 'unused'];

/** `samvad export`: approved samples from the log into a file. */
export function exportCommand(): Command {
  return new Command('export')
    .description(
      'write approved training samples from the log to a file or folder, with a manifest that reproduces them',
    )
    .option('-o, --output <path>', 'a file for jsonl, a folder for the other formats', 'training-data.jsonl')
    .addOption(new Option('-f, --format <format>', 'output format').choices(formatNames).default('jsonl'))
    .option('--limit <n>', 'at most this many rows, in order of conversation id', whole)
    .option('--language <tag>', 'only this language, such as hi')
    .option('--module <name>', 'only this module')
    .option('--min-confidence <share>', 'minimum confidence of the model, 0 to 1', share)
    .option('--max-confidence <share>', 'maximum confidence of the model, 0 to 1', share)
    .option('--from <time>', 'conversations of this time or later, such as 2026-11-01', time)
    .option('--to <time>', 'conversations before this time', time)
    .option('--unused', 'only samples that no version was trained on yet')
    .addOption(
      new Option('--for-version <version>', 'the samples that this version was trained on').conflicts(CHOOSING),
    )
    .addOption(
      new Option('--manifest <file>', 'the same bytes as the export that wrote this manifest').conflicts([
        ...CHOOSING,
        'forVersion',
      ]),
    )
    .option('--json', 'print the manifest as JSON')
    .action(async (options: Options) => {
      await checkPlace(options.format, options.output);
      const prepared = await findLog();
      const stopping = new AbortController();
      void untilStopped().then(() => stopping.abort(new Error('interrupted')));
      await exportAsJob(prepared, options, stopping.signal);
    });
}

/**
 * Exports, with a record in the log at the start and at the end. When the process is killed, only the record of the start remains. When
 * it is interrupted, no file is written.
 */
async function exportAsJob(prepared: PreparedLog, options: Options, signal: AbortSignal): Promise<void> {
  const note = await openJob(prepared, options);
  try {
    const { dataSet, place } = await exported(prepared, options, signal);
    const { manifest } = dataSet;
    await note({
      status: 'finished',
      samples: manifest.rows,
      sha256: manifest.sha256,
      manifest: JSON.stringify(manifest),
    });
    report(dataSet, options, place);
  } catch (error) {
    const failure = signal.aborted ? 'interrupted' : error instanceof Error ? error.message : String(error);
    await note({ status: 'failed', failure }).catch((cause: unknown) =>
      progress(`The failed export could not be recorded in the log: ${reasonOf(cause)}.`),
    );
    if (!signal.aborted) throw error;
    progress('Interrupted. Nothing was written.');
    process.exitCode = 130;
  }
}

/** Makes the data set and writes it. */
async function exported(
  prepared: PreparedLog,
  options: Options,
  signal: AbortSignal,
): Promise<{ dataSet: DataSet; place: string }> {
  const { request, expected } = await requested(prepared, options);
  const samples = readSamples(prepared.servers.kafka, prepared.codecs, request.upTo);
  const folder = folderOf(prepared.config, DATA_SETS);
  const dataSet = await buildDataSet(request, samples, codeVersion, { folder, signal });
  try {
    checkSame(dataSet, expected);
    return { dataSet, place: await writeExport(dataSet, options.format, options.output, signal) };
  } finally {
    await dataSet.close();
  }
}

/** The requested data set, and its expected manifest when one is known. */
async function requested(
  { servers, codecs }: PreparedLog,
  options: Options,
): Promise<{ request: DataSetRequest; expected: Manifest | undefined }> {
  if (options.manifest !== undefined) {
    const expected = await manifestIn(options.manifest);
    return { request: requestOf(expected), expected };
  }
  const log = await openModelLog(servers.kafka, codecs);
  const { models, runs } = await log.read();
  await log.close();
  if (options.forVersion !== undefined) {
    const runId = models.get(options.forVersion)?.standing.run_id ?? '';
    const manifest = runs.get(runId)?.manifest;
    if (manifest == null)
      throw new UsageError(
        `There is no data set of ${options.forVersion}; \`samvad models\` lists the versions that were trained here.`,
      );
    const expected = parseManifest(manifest, options.forVersion);
    return { request: requestOf(expected), expected };
  }
  const consumed = new Map<number, number>();
  for (const { standing } of models.values())
    for (const { partition, next_offset } of standing.consumed)
      consumed.set(partition, Math.max(next_offset, consumed.get(partition) ?? 0));
  const { language, module, minConfidence, maxConfidence, from, to, limit } = options;
  const filters: Filters = JSON.parse(
    JSON.stringify({ language, module, minConfidence, maxConfidence, from, to }),
  ) as Filters;
  const request = {
    dataSet: DATA_SET,
    upTo: await topicEnds(servers.kafka, topics.trainingSamples.name),
    filters,
    ...(options.unused === true && { unusedSince: consumed }),
    ...(limit !== undefined && { limit }),
  };
  return { request, expected: undefined };
}

async function manifestIn(file: string): Promise<Manifest> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`${file} can't be read: ${reasonOf(cause)}.`, { cause });
  });
  return parseManifest(text, file);
}

function parseManifest(text: string, where: string): Manifest {
  try {
    const manifest = JSON.parse(text) as Partial<Manifest>;
    if (manifest.format === 'samvad-data-set-1') return manifest as Manifest;
  } catch {
    // reported below
  }
  throw new UsageError(`${where} is not the manifest of a data set.`);
}

function checkSame({ manifest: made, erasedSince }: DataSet, expected: Manifest | undefined): void {
  if (!expected || made.sha256 === expected.sha256) return;
  if (erasedSince > 0) {
    const missing = expected.rows - made.rows; // 0 when a limit let other rows take their place
    const rows = missing > 1 ? `${missing} rows` : missing === 1 ? '1 row' : 'rows';
    throw new UsageError(
      `This data set holds ${rows} of conversations that were erased since, and can't be reproduced. Nothing was written; an export without the manifest has the remaining rows.`,
    );
  }
  const moved = made.rows === expected.rows ? '' : ` It has ${made.rows} rows instead of ${expected.rows}.`;
  throw new UsageError(
    `The exported bytes differ from the manifest (SHA-256 ${made.sha256} instead of ${expected.sha256}).${moved} Nothing was written. Is this the same cluster, and version ${expected.code_version} of this program?`,
  );
}

function report({ manifest }: DataSet, { output, json }: Options, place: string): void {
  if (json === true) return printText(JSON.stringify(manifest));
  progress(
    `${manifest.rows} samples are in ${path.relative('.', output) || output}; ${path.relative('.', place)} reproduces them.`,
  );
  const part = (title: string, counts: Readonly<Record<string, number>>) =>
    `${title}\n${columns(Object.entries(counts).sort(([, a], [, b]) => b - a))}`;
  printText(part('By module', manifest.by_module));
  printText(part('By language', manifest.by_language));
  printText(part('By source', manifest.by_source));
  printText(`SHA-256 ${manifest.sha256}`);
}

/**
 * Records in the log that the export runs, for the table of export jobs. Returns a function that records its end.
 * @throws Transient when the record can't be written: then the export does not start, because it could not be traced.
 */
async function openJob({ servers, codecs }: PreparedLog, options: Options) {
  const { output, format } = options;
  const filters = { ...options, output: undefined, format: undefined, json: undefined };
  const job: ExportJob = {
    job_id: randomUUID(),
    status: 'running',
    filters: JSON.stringify(filters),
    format,
    output: `${os.hostname()}:${path.resolve(output)}`,
    samples: null,
    sha256: null,
    manifest: null,
    failure: null,
    created_at: Date.now(),
    finished_at: null,
  };
  const note = async (changes: Partial<ExportJob>) => {
    const value = codecs.of(topics.exportJobs).encode({ ...job, ...changes });
    const record = { topic: topics.exportJobs.name, key: job.job_id, value, timestamp: Date.now() };
    for (let attempt = 1; ; attempt++) {
      try {
        return await fencedWrite(servers.kafka, `samvad-export-${job.job_id}`, () => Promise.resolve([record]));
      } catch (error) {
        if (!(error instanceof Transient) || attempt === NOTE_ATTEMPTS) throw error;
      }
    }
  };
  await note({});
  return (end: Partial<ExportJob>) => note({ ...end, finished_at: Date.now() });
}
