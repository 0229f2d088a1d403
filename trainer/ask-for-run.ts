/** Asks for a training run on everything that is approved: the weekly job, and whoever does not want to wait for the threshold. */
import { anewId, lastGivenUp, requestRun, unusedOf } from '../policy/training-run.ts';
import { runAt, totalApprovals } from '../policy/trigger.ts';
import type { Watermark } from '../policy/trigger.ts';
import type { ServiceContext } from '../runtime/service.ts';
import type { RunTrigger } from '../schemas/types.ts';
import type { ModelLogPort } from './model-log.ts';
import { DATA_SET } from '../topology.ts';
import { countedUpTo, openCounts } from './trainer.ts';

/** How much was approved, and how much of it no run has learned from or is to: approvals, of which a sample may have several. */
export interface Unused {
  readonly total: number;
  readonly unused: number;
  /** Offsets of training-samples up to which `total` counts. */
  readonly watermark: Watermark;
}

/** Counts as sample-counter has them now. */
export async function countUnused(
  context: Pick<ServiceContext, 'kafka' | 'codecs'>,
  log: ModelLogPort,
): Promise<Unused> {
  const view = await openCounts(context);
  const counts = await view.read().finally(() => view.close());
  const total = totalApprovals(counts, DATA_SET);
  const unused = unusedOf(await log.read(), DATA_SET, total);
  return { total, unused, watermark: countedUpTo(counts) };
}

/** How a run is asked for. */
export interface RunWish {
  readonly trigger: RunTrigger;
  /** Fewer unused samples than this, and no run is asked for; 0: in any case, where none is unused another one on the same samples. */
  readonly atLeast: number;
  readonly fromScratch: boolean;
  readonly by: string;
}

/** What became of the wish. */
export interface AskedFor {
  /** The run's id; undefined when too little is unused. A trainer carries it out. */
  readonly run: string | undefined;
  /** Approvals that no run has learned from or was to before this one. */
  readonly unused: number;
  /** The last run that failed or was cancelled, where its samples are among these. */
  readonly ended?: string;
}

/** Requests a run on all that is counted so far, unless fewer than `atLeast` samples are unused; looked at again when the event is written. */
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
    const givenUp = ['failed', 'cancelled'].includes(now.runs.get(asked)?.status ?? '');
    id = atLeast === 0 || givenUp ? anewId(now, asked, fromScratch) : asked;
    const request = { id, approvals, dataSet: DATA_SET, trigger, watermark, atLeast, fromScratch };
    return requestRun(now, request, { by, at: Date.now() });
  });
  if (after.runs.has(id)) return { run: id, unused, ...ended };
  return { run: undefined, unused: unusedOf(after, DATA_SET, total), ...ended };
}

/** What becomes of a run that ended early, as a sentence behind another one; nothing where there is none. */
export function aboutEnded({ run, ended }: AskedFor): string {
  if (ended === undefined) return '';
  const next =
    run === undefined ? `\`samvad train --resume ${ended}\` takes it up again` : 'Its samples are in this one';
  return ` The run ${ended} did not come to its end. ${next}.`;
}
