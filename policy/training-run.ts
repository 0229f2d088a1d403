/** The life of a training run as events. Pure functions, like all decisions on the model log. */
import type { OffsetUpTo, RunStanding, RunTrigger, TrainingRunEvent } from '../schemas/types.ts';
import type { Act, Appended, ModelLog } from './model-log.ts';
import { ModelLogRefused, productionOf } from './model-log.ts';
import type { Watermark } from './trigger.ts';

/** The request for a run. */
export interface RunRequest {
  readonly id: string;
  readonly dataSet: string;
  readonly trigger: RunTrigger;
  readonly approvals: number;
  readonly watermark: Watermark;
  /** The least number of approvals that no earlier run covers; with fewer, no run is requested. 1 when absent. */
  readonly atLeast?: number;
  readonly fromScratch?: boolean;
}

/** Another trainer has taken over the run, or it was ended. The trainer that gets this error must stop. */
export class Superseded extends Error {
  override readonly name = 'Superseded';
}

/**
 * After this many attempts that ended without a result, the run fails: it would probably kill every further trainer
 * too.
 */
export const MAX_ATTEMPTS = 5;

/**
 * Requests a run. Returns no events if the run already exists, or if other runs cover so many of its samples that too
 * few are left. The samples of a run that failed or was cancelled are available for a manual or weekly request; a
 * threshold that was crossed once is not crossed again.
 */
export function requestRun(log: ModelLog, request: RunRequest, { by, at }: Pick<Act, 'by' | 'at'>): Appended {
  const last = request.trigger === 'threshold' ? lastAsked : lastTaken;
  const left = Math.max(0, request.approvals - last(log, request.dataSet).approvals);
  if (log.runs.has(request.id) || left < (request.atLeast ?? 1)) return {};
  const standing: RunStanding = {
    data_set: request.dataSet,
    trigger: request.trigger,
    status: 'requested',
    attempt: 0,
    attempts_excused: 0,
    approvals: request.approvals,
    watermark: offsetsOf(request.watermark),
    from_scratch: request.fromScratch ?? false,
    data_set_sha256: null,
    manifest: null,
    version: null,
    parent_version: null,
    artifact_sha256: null,
    report_sha256: null,
    page_sha256: null,
    verdict: null,
    reasons: [],
    stage: null,
    epoch: 0,
    epochs: 0,
    failure: null,
    requested_at: at,
    started_at: null,
    finished_at: null,
  };
  return { runs: [{ ...eventOf(request.id, at, standing), requested: { by } }] };
}

/** A part of a data set, counted from its beginning. */
interface Part {
  readonly approvals: number;
  readonly watermark: Watermark;
}

/** The largest part of `dataSet` that any run was requested for, regardless of how the run ended. */
export function lastAsked(log: ModelLog, dataSet: string): Part {
  return largest(log, dataSet, () => true);
}

/** The largest part of `dataSet` that a run has trained on or will train on. */
export function lastTaken(log: ModelLog, dataSet: string): Part {
  return largest(log, dataSet, (run) => !isGivenUp(run));
}

/** How many of the `total` approvals no run has trained on or will train on. */
export function unusedOf(log: ModelLog, dataSet: string, total: number): number {
  return Math.max(0, total - lastTaken(log, dataSet).approvals);
}

/** The last run of `dataSet` that failed or was cancelled, if no other run has covered its samples since. */
export function lastGivenUp(log: ModelLog, dataSet: string): string | undefined {
  const taken = lastTaken(log, dataSet).approvals;
  const all = [...log.runs].filter(([, run]) => run.data_set === dataSet && isGivenUp(run) && run.approvals > taken);
  return all.at(-1)?.[0];
}

/** Whether the run ended without a version. */
export function isGivenUp({ status }: RunStanding): boolean {
  return status === 'failed' || status === 'cancelled';
}

function largest({ runs }: ModelLog, dataSet: string, counts: (run: RunStanding) => boolean): Part {
  let last: Part = { approvals: 0, watermark: new Map() };
  for (const run of runs.values())
    if (run.data_set === dataSet && run.approvals > last.approvals && counts(run))
      last = { approvals: run.approvals, watermark: watermarkOf(run.watermark) };
  return last;
}

/**
 * Requests a failed or cancelled run again. Its finished steps are kept. @throws ModelLogRefused when it did not end
 * that way.
 */
export function resumeRun(log: ModelLog, id: string, { by, at }: Pick<Act, 'by' | 'at'>): Appended {
  const run = runOf(log, id);
  if (!isGivenUp(run))
    throw new ModelLogRefused(`The run ${id} is ${run.status}; only one that failed or was cancelled can be resumed.`);
  // Attempt numbers go on: a trainer with an older number must stay shut out.
  const standing: RunStanding = {
    ...run,
    status: 'requested',
    attempts_excused: run.attempt,
    failure: null,
    finished_at: null,
  };
  return { runs: [{ ...eventOf(id, at, standing), requested: { by } }] };
}

/** Cancels a run; the active trainer stops at its next event. @throws ModelLogRefused when it has already ended. */
export function cancelRun(log: ModelLog, id: string, { by, at }: Pick<Act, 'by' | 'at'>): Appended {
  const run = runOf(log, id);
  if (run.status !== 'requested' && run.status !== 'running')
    throw new ModelLogRefused(`The run ${id} is ${run.status} already.`);
  return { runs: [{ ...eventOf(id, at, { ...run, status: 'cancelled', finished_at: at }), cancelled: { by } }] };
}

/**
 * Begins an attempt. Its number fences the trainer: it may write until another attempt begins. The version that the run
 * goes on from is fixed at the first attempt, so that repeating it gives the same bytes.
 */
export function startRun(log: ModelLog, id: string, trainer: string, at: number): Appended {
  const run = runOf(log, id);
  if (run.status !== 'requested' && run.status !== 'running') return {};
  if (run.attempt - run.attempts_excused >= MAX_ATTEMPTS)
    return failRun(
      log,
      id,
      run.attempt,
      `${MAX_ATTEMPTS} attempts ended without a result. See the trainer's log; \`samvad train --resume ${id}\` tries again.`,
      at,
    );
  const attempt = run.attempt + 1;
  const production = productionOf(log);
  const parent = run.from_scratch || production?.standing.artifact_sha256 == null ? null : production.version;
  const parent_version = run.started_at === null ? parent : run.parent_version;
  const standing: RunStanding = {
    ...run,
    status: 'running',
    attempt,
    parent_version,
    started_at: at,
    stage: 'data-set',
  };
  return { runs: [{ ...eventOf(id, at, standing), started: { attempt, trainer } }] };
}

/**
 * Leaves a run that `attempt` can't continue to the next trainer, which may already have begun. This is not a failure
 * of the run.
 */
export function giveBackRun(log: ModelLog, id: string, attempt: number, trainer: string, at: number): Appended {
  const run = runOf(log, id);
  if (run.status !== 'requested' && run.status !== 'running') return {};
  const status = run.attempt === attempt ? 'requested' : run.status;
  const standing: RunStanding = { ...run, status, attempts_excused: run.attempts_excused + 1 };
  return { runs: [{ ...eventOf(id, at, standing), given_back: { attempt, trainer } }] };
}

/** Notes the progress of `attempt`. @throws Superseded when it may no longer write. */
export function noteRun(
  log: ModelLog,
  id: string,
  attempt: number,
  changes: Partial<RunStanding>,
  kind: Partial<Pick<TrainingRunEvent, 'progressed' | 'finished' | 'failed'>>,
  at: number,
): TrainingRunEvent {
  const run = runOf(log, id);
  if (run.status !== 'running' || run.attempt !== attempt)
    throw new Superseded(`The run ${id} is ${run.status} in attempt ${run.attempt}; attempt ${attempt} ends here.`);
  return { ...eventOf(id, at, { ...run, ...changes }), ...kind };
}

/** Ends a run that can't succeed. Its samples stay unused and are part of the next run. */
export function failRun(log: ModelLog, id: string, attempt: number, reason: string, at: number): Appended {
  return {
    runs: [
      noteRun(log, id, attempt, { status: 'failed', failure: reason, finished_at: at }, { failed: { reason } }, at),
    ],
  };
}

/** The runs that wait for a trainer or lost theirs, oldest request first. */
export function openRuns({ runs }: ModelLog): readonly string[] {
  return [...runs].filter(([, run]) => run.status === 'requested' || run.status === 'running').map(([id]) => id);
}

/**
 * The id for repeating run `id`: the same id if that run was not requested yet or is under way with the same start
 * (from scratch or not); otherwise the next free number. It covers no additional approvals, so later crossings of the
 * threshold do not move.
 */
export function anewId(log: ModelLog, id: string, fromScratch: boolean): string {
  if (!log.runs.has(id)) return id;
  const anew = [...log.runs.keys()].filter((run) => run.startsWith(`${id}-anew-`));
  const open = openRuns(log).filter((run) => log.runs.get(run)?.from_scratch === fromScratch);
  return open.find((run) => run === id || anew.includes(run)) ?? `${id}-anew-${anew.length + 1}`;
}

/** A watermark as the log holds it, in order of partition. */
export function offsetsOf(watermark: Watermark): readonly OffsetUpTo[] {
  return [...watermark].sort(([a], [b]) => a - b).map(([partition, next_offset]) => ({ partition, next_offset }));
}

/** The inverse of `offsetsOf`. */
export function watermarkOf(offsets: readonly OffsetUpTo[]): Watermark {
  return new Map(offsets.map(({ partition, next_offset }) => [partition, next_offset]));
}

function runOf({ runs }: ModelLog, id: string): RunStanding {
  const run = runs.get(id);
  if (!run) throw new ModelLogRefused(`There is no run ${id}. There are: ${[...runs.keys()].join(', ') || 'none'}.`);
  return run;
}

function eventOf(run_id: string, at: number, standing: RunStanding): TrainingRunEvent {
  return {
    run_id,
    at,
    standing,
    requested: null,
    started: null,
    progressed: null,
    finished: null,
    failed: null,
    cancelled: null,
    given_back: null,
  };
}
