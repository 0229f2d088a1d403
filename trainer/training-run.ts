/**
 * Executes one training run, from its data set to the registered version. Each step is noted in the model log with its
 * result, so that the next attempt skips finished steps; a repeated step gives the same bytes.
 */
import { nextVersion, register, ModelLogRefused, rolledBack } from '../policy/model-log.ts';
import type { ModelLog } from '../policy/model-log.ts';
import type { PromotionPolicy } from '../policy/promotion.ts';
import { failRun, giveBackRun, noteRun, startRun, Superseded, watermarkOf } from '../policy/training-run.ts';
import type { Watermark } from '../policy/trigger.ts';
import { mayPass } from '../runtime/may-pass.ts';
import type { ModelStanding, RoutingPolicy, RunStanding } from '../schemas/types.ts';
import { ArtifactError } from './artifacts.ts';
import { buildDataSet } from './data-set/data-set.ts';
import type { Manifest } from './data-set/data-set.ts';
import { inTurns } from './data-set/sample-table.ts';
import type { PlacedSample } from './data-set/sample-table.ts';
import { trainFile } from './fit-run.ts';
import type { FitPorts } from './fit-run.ts';
import { ModelRefused } from './learning/onnx-reader.ts';
import { split } from './learning/split.ts';
import type { Sample, Split } from './learning/split.ts';
import { TrainingError } from './learning/train.ts';
import { EncoderError } from './learning/transformer-encoder.ts';
import { rowLimit } from './row-limit.ts';
import { loadProduction, putReport, reportedStanding, reportOn } from './run-report.ts';
import type { StoredReport } from './run-report.ts';

/** The connections and settings of a run. */
export interface RunPorts extends FitPorts {
  /** The records of training-samples below the watermark, in offset order within each partition. */
  readonly samples: (upTo: Watermark) => AsyncIterable<PlacedSample>;
  readonly policy: () => Promise<RoutingPolicy>;
  readonly promotion: PromotionPolicy;
  readonly codeVersion: string;
  /** Names this trainer in the log. */
  readonly trainer: string;
  /** `MAX_ROWS` where absent. */
  readonly maxRows?: number;
  /** Called when a step is done and noted; a test ends the trainer here. */
  readonly onStep?: (step: 'started' | 'data-set' | 'trained' | 'evaluated' | 'registered') => void;
}

/** Errors whose message is a sentence for the person who started the run. */
const FORESEEN = [TrainingError, EncoderError, ModelRefused, ArtifactError, ModelLogRefused];

/**
 * Takes up the run and executes it to its end, which may be a noted failure. Returns its standing.
 * @throws the signal's reason when aborted. @throws Transient for temporary failures such as Kafka's; the run is then
 * taken up again.
 */
export async function executeRun(id: string, ports: RunPorts, signal: AbortSignal): Promise<RunStanding | undefined> {
  const { log, now } = ports;
  const started = (await log.append((before) => startRun(before, id, ports.trainer, now()))).runs.get(id);
  if (started?.status !== 'running') return started;
  const attempt = started.attempt;
  const fail = async (error: unknown) => {
    const foreseen = FORESEEN.some((kind) => error instanceof kind);
    if (signal.aborted || error instanceof Superseded || (!foreseen && mayPass(error))) throw error;
    // An unexpected error would recur in every attempt and end the trainer each time, so it fails the run too.
    const reason = foreseen ? (error as Error).message : `Unexpected error: ${String(error)}`;
    await log.append((before) => failRun(before, id, attempt, reason, now()));
  };
  try {
    ports.onStep?.('started');
    await steps(id, started, ports, signal).catch(fail);
  } catch (error) {
    if (!signal.aborted && !(error instanceof Superseded)) throw error;
    // If Kafka does not answer, nothing is noted, and the attempt counts like one that was killed.
    await log.append((before) => giveBackRun(before, id, attempt, ports.trainer, now())).catch(() => undefined);
    signal.throwIfAborted();
  }
  return (await log.read()).runs.get(id);
}

async function steps(id: string, run: RunStanding, ports: RunPorts, signal: AbortSignal): Promise<void> {
  const { log, now } = ports;
  /** Notes a change of the run's standing, and returns the new one. */
  const note = async (decide: (log: ModelLog) => Partial<RunStanding>): Promise<RunStanding> => {
    const after = await log.append((before) => ({
      runs: [noteRun(before, id, run.attempt, decide(before), {}, now())],
    }));
    return after.runs.get(id) ?? run;
  };

  // 1. The data set, from the log.
  const { manifest, erasedSince, sides } = await readRows(run, await log.read(), ports, signal);
  const changed = run.data_set_sha256 !== null && run.data_set_sha256 !== manifest.sha256;
  if (changed && erasedSince === 0)
    throw new TrainingError(
      `The log gives another data set (${manifest.sha256}) than in an earlier attempt (${run.data_set_sha256}).`,
    );
  // Results that contain text erased since are made again without it.
  const anew = changed ? { artifact_sha256: null, report_sha256: null, page_sha256: null } : {};
  const dataSet = { data_set_sha256: manifest.sha256, manifest: JSON.stringify(manifest) };
  await note(() => ({ ...dataSet, ...anew, stage: 'fit' }));
  ports.onStep?.('data-set');

  // 2. The model file, unless an earlier attempt made it.
  let trained = { ...run, ...anew };
  if (trained.artifact_sha256 === null || !(await ports.artifacts.has(trained.artifact_sha256))) {
    const bytes = await trainFile({ id, run, manifest, sides }, ports, signal);
    const sha256 = await ports.artifacts.put(bytes);
    trained = await note((before) => ({
      artifact_sha256: sha256,
      // A report on another file is not valid for this one.
      ...(sha256 !== before.runs.get(id)?.artifact_sha256 && { report_sha256: null, page_sha256: null }),
      version: run.version ?? nextVersion(before),
      stage: 'evaluate',
    }));
  }
  ports.onStep?.('trained');

  // 3. The report, on the file as it will be served, under a version number that is still free.
  const taken = (await log.read()).models.get(trained.version ?? '');
  if (taken && taken.standing.run_id !== id)
    trained = await note((before) => ({ version: nextVersion(before), report_sha256: null, page_sha256: null }));
  if (trained.report_sha256 === null || !(await ports.artifacts.has(trained.report_sha256))) {
    signal.throwIfAborted();
    const report = await reportOnRun(trained, manifest, sides, await log.read(), ports);
    const stored = await putReport(ports.artifacts, report);
    const { verdict, reasons } = report.decision;
    trained = await note(() => ({ ...stored, verdict, reasons }));
  }
  ports.onStep?.('evaluated');

  // 4. The version and the end of the run, in one transaction.
  const report = JSON.parse((await ports.artifacts.get(trained.report_sha256 ?? '')).toString()) as StoredReport;
  await log.append((before) => {
    const at = now();
    const version = trained.version ?? nextVersion(before);
    const finished = noteRun(
      before,
      id,
      run.attempt,
      { status: 'finished', stage: null, finished_at: at },
      { finished: { version } },
      at,
    );
    return {
      runs: [finished],
      models: register(before, version, standingOf(id, trained, report, manifest, at), {
        by: ports.trainer,
        reason: '',
        at,
      }),
    };
  });
  ports.onStep?.('registered');
}

async function readRows(
  run: RunStanding,
  log: ModelLog,
  ports: RunPorts,
  signal: AbortSignal,
): Promise<{ manifest: Manifest; erasedSince: number; sides: Split<Sample> }> {
  const upTo = watermarkOf(run.watermark);
  // Fixed by the first noted manifest, so that every attempt makes the same data set.
  const noted = run.manifest === null ? undefined : (JSON.parse(run.manifest) as Manifest);
  const request = { dataSet: run.data_set, upTo, rolledBack: noted ? noted.rolled_back : rolledBack(log) };
  const dataSet = await buildDataSet(request, ports.samples(upTo), ports.codeVersion, {
    folder: ports.dataSets,
    signal,
  });
  try {
    const seenUpTo = watermarkOf(log.models.get(run.parent_version ?? '')?.standing.consumed ?? []);
    const taken = rowLimit(dataSet.manifest.by_intent, ports.maxRows);
    const rows: Sample[] = [];
    for await (const { row, reviewPropensity, partition, offset } of inTurns(dataSet.rows(), signal)) {
      if (!taken(row)) continue;
      const { text, intent, module, language, source } = row;
      const seen = offset < (seenUpTo.get(partition) ?? 0);
      rows.push({ text, intent, module, language, source, reviewPropensity, seen });
    }
    const sides = split(rows);
    const dropCounts = {
      ...sides.dropCounts,
      'over-the-limit': dataSet.manifest.rows - rows.length,
      'labelled-by-a-version-rolled-back': dataSet.byRolledBack,
    };
    return { manifest: dataSet.manifest, erasedSince: dataSet.erasedSince, sides: { ...sides, dropCounts } };
  } finally {
    await dataSet.close();
  }
}

async function reportOnRun(
  run: RunStanding,
  manifest: Manifest,
  sides: Split<Sample>,
  log: ModelLog,
  ports: RunPorts,
): Promise<StoredReport> {
  const { artifacts, places, promotion } = ports;
  const [version, wanted] = [run.version ?? '', run.parent_version];
  const bytes = await artifacts.get(run.artifact_sha256 ?? '');
  const production = await loadProduction(log, artifacts, places);
  try {
    const policy = await ports.policy();
    return await reportOn({ version, wanted, bytes, places, sides, manifest, production, policy, promotion });
  } finally {
    await production?.model.close();
  }
}

function standingOf(
  runId: string,
  run: RunStanding,
  report: StoredReport,
  manifest: Manifest,
  at: number,
): ModelStanding {
  return {
    ...reportedStanding(report, manifest, at),
    artifact_sha256: run.artifact_sha256,
    report_sha256: run.report_sha256,
    page_sha256: run.page_sha256,
    run_id: runId,
    parent_version: report.parent,
    consumed: run.watermark,
  };
}
