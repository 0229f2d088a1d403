/** Asks for a training run on everything that is approved: the weekly job, and whoever does not want to wait for the threshold. */
import { anewId, requestRun } from '../policy/training-run.ts';
import { runAt, totalApprovals } from '../policy/trigger.ts';
import type { Watermark } from '../policy/trigger.ts';
import type { ServiceContext } from '../runtime/service.ts';
import type { RunTrigger } from '../schemas/types.ts';
import type { ModelLogPort } from './model-log.ts';
import { countedUpTo, DATA_SET, lastAsked, openCounts } from './trainer.ts';

/** What is approved, and how much of it no run was asked for yet. */
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
  return { total, unused: total - lastAsked(await log.read()).approvals, watermark: countedUpTo(counts) };
}

/** How a run is asked for. */
export interface RunWish {
  readonly trigger: RunTrigger;
  readonly fromScratch: boolean;
  readonly by: string;
}

/**
 * Notes in the log that a run on all of it is wanted. Returns the run's id; a trainer carries it out. Where no sample is unused, a
 * run was asked for already; one from nothing is another one all the same.
 */
export async function askForRun(
  log: ModelLogPort,
  all: Unused,
  { trigger, fromScratch, by }: RunWish,
): Promise<string> {
  const { id: asked, approvals } = runAt(DATA_SET, all.total);
  const { watermark, unused } = all;
  let id = asked;
  await log.append((now) => {
    id = fromScratch && unused < 1 ? anewId(now, asked) : asked;
    return requestRun(
      now,
      { id, approvals, dataSet: DATA_SET, trigger, watermark, fromScratch },
      { by, at: Date.now() },
    );
  });
  return id;
}
