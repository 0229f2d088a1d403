import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Command, Option } from 'commander';
import type { ExportJob } from '../schemas/types.ts';
import { librdkafkaConfig } from '../runtime/kafka-clients.ts';
import { call, connectProducer, disconnect } from '../runtime/rdkafka.ts';
import { topicEnds } from '../runtime/read-topic.ts';
import { topics } from '../topology.ts';
import { codeVersion } from '../trainer/code-version.ts';
import { buildDataSet, readSamples, requestOf } from '../trainer/data-set.ts';
import type { DataSet, DataSetRequest, Manifest } from '../trainer/data-set.ts';
import type { Filters } from '../trainer/data-row.ts';
import { writeExport } from '../trainer/export.ts';
import { formatNames } from '../trainer/formats.ts';
import type { FormatName } from '../trainer/formats.ts';
import { openModelLog } from '../trainer/model-log.ts';
import { findEnvironment, prepare } from './environment.ts';
import type { Prepared } from './environment.ts';
import { columns, progress, UsageError } from './terminal.ts';

interface Options {
  readonly output: string;
  readonly format: FormatName;
  readonly limit?: number;
  readonly language?: string;
  readonly module?: string;
  readonly minConfidence?: number;
  readonly maxConfidence?: number;
  readonly from?: string;
  readonly to?: string;
  readonly unused?: boolean;
  readonly forVersion?: string;
  readonly manifest?: string;
  readonly json?: boolean;
}

/** Options that choose rows. A manifest has chosen already. */
const CHOOSING = ['limit', 'language', 'module', 'minConfidence', 'maxConfidence', 'from', 'to', 'unused'];

/** `samvad export`: approved samples from the log into a file. */
export function exportCommand(): Command {
  return new Command('export')
    .description(
      'write approved training samples, read from the log, to a file or folder, with a manifest to make them again',
    )
    .option('-o, --output <path>', 'file for jsonl, folder for the other formats', 'training-data.jsonl')
    .addOption(new Option('-f, --format <format>', 'what to write').choices(formatNames).default('jsonl'))
    .option('--limit <n>', 'at most so many rows, first in order of conversation id', whole)
    .option('--language <tag>', 'only this language, such as hi')
    .option('--module <name>', 'only this module')
    .option('--min-confidence <share>', 'least confidence of the model, 0 to 1', share)
    .option('--max-confidence <share>', 'most confidence of the model, 0 to 1', share)
    .option('--from <time>', 'written at or after this time, such as 2026-11-01', time)
    .option('--to <time>', 'written before this time', time)
    .option('--unused', 'only what no version was trained on yet')
    .addOption(new Option('--for-version <version>', 'what this version was trained on').conflicts(CHOOSING))
    .addOption(
      new Option('--manifest <file>', 'the same bytes as the export that wrote this manifest').conflicts([
        ...CHOOSING,
        'forVersion',
      ]),
    )
    .option('--json', 'print the manifest as JSON')
    .action(async (options: Options) => {
      const prepared = await prepare(await findEnvironment());
      const job = await openJob(prepared, options);
      try {
        const { request, expected } = await requested(prepared, options);
        const dataSet = await buildDataSet(
          request,
          readSamples(prepared.servers.kafka, prepared.codecs, request.upTo),
          codeVersion,
        );
        try {
          checkSame(dataSet, expected);
          const place = await writeExport(dataSet, options.format, options.output);
          await job.end({
            status: 'finished',
            samples: dataSet.manifest.rows,
            sha256: dataSet.manifest.sha256,
            manifest: JSON.stringify(dataSet.manifest),
          });
          report(dataSet, options, place);
        } finally {
          await dataSet.close();
        }
      } catch (error) {
        await job.end({ status: 'failed', failure: error instanceof Error ? error.message : String(error) });
        throw error;
      } finally {
        await job.close();
        await prepared.stop();
      }
    });
}

/** The data set that the options ask for, and the manifest that it must have where one is known. */
async function requested(
  { servers, codecs }: Prepared,
  options: Options,
): Promise<{ request: DataSetRequest; expected: Manifest | undefined }> {
  if (options.manifest !== undefined) {
    const expected = parseManifest(await readFile(options.manifest, 'utf8'), options.manifest);
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
        `No data set is known of ${options.forVersion}; \`samvad models\` lists the versions that were trained here.`,
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
    dataSet: 'default',
    upTo: await topicEnds(servers.kafka, topics.trainingSamples.name),
    filters,
    ...(options.unused === true && { unusedSince: consumed }),
    ...(limit !== undefined && { limit }),
  };
  return { request, expected: undefined };
}

function parseManifest(text: string, where: string): Manifest {
  try {
    const manifest = JSON.parse(text) as Partial<Manifest>;
    if (manifest.format === 'samvad-data-set-1') return manifest as Manifest;
  } catch {
    // said below
  }
  throw new UsageError(`${where} is not the manifest of a data set.`);
}

function checkSame({ manifest: made, erasedSince }: DataSet, expected: Manifest | undefined): void {
  if (!expected || made.sha256 === expected.sha256) return;
  if (erasedSince > 0) {
    const missing = expected.rows - made.rows; // none where a limit has let others in
    const rows = missing > 1 ? `${missing} rows` : missing === 1 ? '1 row' : 'rows';
    throw new UsageError(
      `This data set holds ${rows} of conversations that were erased since, and can't be made again. Nothing was written; an export without the manifest has what is left.`,
    );
  }
  const moved = made.rows === expected.rows ? '' : ` It has ${made.rows} rows and had ${expected.rows}.`;
  throw new UsageError(
    `The log gives other bytes than the manifest says (${made.sha256}, not ${expected.sha256}).${moved} Nothing was written. Is it the same cluster, and version ${expected.code_version} of this program?`,
  );
}

function report({ manifest }: DataSet, { output, json }: Options, place: string): void {
  if (json === true) return void process.stdout.write(`${JSON.stringify(manifest)}\n`);
  progress(
    `${manifest.rows} samples are in ${path.relative('.', output) || output}; ${path.relative('.', place)} makes them again.`,
  );
  const part = (title: string, counts: Readonly<Record<string, number>>) =>
    `${title}\n${columns(Object.entries(counts).sort(([, a], [, b]) => b - a))}\n`;
  process.stdout.write(
    part('By module', manifest.by_module) +
      part('By language', manifest.by_language) +
      part('By source', manifest.by_source),
  );
  process.stdout.write(`SHA-256 ${manifest.sha256}\n`);
}

/** Notes the export in the log, for the table of export jobs. */
async function openJob({ servers, codecs }: Prepared, options: Options) {
  const producer = await connectProducer({
    ...librdkafkaConfig(servers.kafka, 'samvad-export'),
    'enable.idempotence': true,
  });
  const { output, format } = options;
  const filters = { ...options, output: undefined, format: undefined, json: undefined };
  const job: ExportJob = {
    job_id: randomUUID(),
    status: 'running',
    filters: JSON.stringify(filters),
    format,
    output,
    samples: null,
    sha256: null,
    manifest: null,
    failure: null,
    created_at: Date.now(),
    finished_at: null,
  };
  const note = async (changes: Partial<ExportJob>) => {
    producer.produce(
      topics.exportJobs.name,
      0,
      codecs.of(topics.exportJobs).encode({ ...job, ...changes }),
      job.job_id,
    );
    await call('noting the export', (done) => producer.flush(10_000, (error) => done(error, undefined)));
  };
  await note({});
  return {
    end: (changes: Partial<ExportJob>) => note({ ...changes, finished_at: Date.now() }),
    close: () => disconnect(producer),
  };
}

function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new UsageError(`--limit is ${text}; it must be a whole number.`);
  return Number(text);
}

function share(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new UsageError(`A confidence is ${text}; it must be from 0 to 1.`);
  return value;
}

function time(text: string): string {
  const value = Date.parse(text);
  if (Number.isNaN(value)) throw new UsageError(`${text} is not a time; write 2026-11-01 or 2026-11-01T08:00:00Z.`);
  return new Date(value).toISOString();
}
