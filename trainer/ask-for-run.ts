/**
 * Requests a training run on all approved samples, for the weekly job or an operator who does not want to wait for the
 * threshold.
 */
import { anewId, isGivenUp, lastGivenUp, requestRun, unusedOf } from '../policy/training-run.ts';
import { runAt } from '../policy/trigger.ts';
import type { Watermark } from '../policy/trigger.ts';
import type { ServiceContext } from '../runtime/service.ts';
import type { RunTrigger } from '../schemas/types.ts';
import type { ModelLogPort } from './model-log.ts';
import { DATA_SET } from '../topology.ts';
import { openCounts } from './sample-counts.ts';

/**
 * How many approvals there are, and how many no run has trained on or will train on. A sample may have several
 * approvals.
 */
export interface Unused {
  readonly total: number;
  readonly unused: number;
  /** The offsets of training-samples up to which `total` counts. */
  readonly watermark: Watermark;
}

/** Reads the current counts of sample-counter. */
export async function countUnused(
  context: Pick<ServiceContext, 'kafka' | 'codecs'>,
  log: ModelLogPort,
): Promise<Unused> {
  const view = await openCounts(context);
  const { approvals: total, watermark } = await view.read().finally(() => view.close());
  const unused = unusedOf(await log.read(), DATA_SET, total);
  return { total, unused, watermark };
}

/** The options of a request. */
export interface RunWish {
  readonly trigger: RunTrigger;
  /**
   * The least number of unused approvals for a run. 0 always requests one; if none is unused, it repeats the same
   * samples.
   */
  readonly atLeast: number;
  readonly fromScratch: boolean;
  readonly by: string;
}

/** The result of a request. */
export interface AskedFor {
  /** The run's id; undefined when too few approvals are unused. A trainer executes it. */
  readonly run: string | undefined;
  /** Approvals that no earlier run has trained on or will train on. */
  readonly unused: number;
  /** The last run that failed or was cancelled, if its samples are among the unused ones. */
  readonly ended?: string;
}

/**
 * Requests a run on all approvals counted so far, unless fewer than `atLeast` are unused; that is checked again when
 * the event is written.
 */
export async function askForRun(
  log: ModelLogPort,
  { total, unused, watermark }: Unused,
  { trigger, atLeast, fromScratch, by }: RunWish,
): Promise<AskedFor> {
  const given = lastGivenUp(await log.read(), DATA_SET);
  const ended = given === undefined ? {} : { ended: given };
  if (total < 1 || unused < atLeast) return { run: undefined, unused, ...ended };
  const { id: asked, approvals } = runAt(DATA_SET, total);
  let id = asked;
  const after = await log.append((now) => {
    const before = now.runs.get(asked);
    const givenUp = before !== undefined && isGivenUp(before);
    id = atLeast === 0 || givenUp ? anewId(now, asked, fromScratch) : asked;
    const request = { id, approvals, dataSet: DATA_SET, trigger, watermark, atLeast, fromScratch };
    return requestRun(now, request, { by, at: Date.now() });
  });
  if (after.runs.has(id)) return { run: id, unused, ...ended };
  return { run: undefined, unused: unusedOf(after, DATA_SET, total), ...ended };
}

/** A sentence about a run that ended early, to be appended to another; empty when there is none. */
export function aboutEnded({ run, ended }: AskedFor): string {
  if (ended === undefined) return '';
  const next = run === undefined ? `\`samvad train --resume ${ended}\` continues it` : 'Its samples are in this one';
  return ` The run ${ended} failed or was cancelled. ${next}.`;
}
