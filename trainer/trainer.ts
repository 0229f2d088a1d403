/**
 * The trainer requests a run at each crossing of the threshold and executes runs one after the other. Any number of
 * copies may run; one leads. A run is a separate process outside every poll loop, so it may take hours without causing
 * redeliveries.
 */
import { randomUUID } from 'node:crypto';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastAsked, openRuns, requestRun } from '../policy/training-run.ts';
import { dueRuns, watermarks } from '../policy/trigger.ts';
import type { SampleMark, Watermark } from '../policy/trigger.ts';
import { leadingService } from '../runtime/leading-service.ts';
import { readRecords } from '../runtime/read-topic.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { DATA_SET, topics } from '../topology.ts';
import { DATA_SETS } from './data-set/data-set-folder.ts';
import { modelLogAccess, openModelLog } from './model-log.ts';
import type { ModelLogPort } from './model-log.ts';
import { executeInProcess } from './run-process.ts';
import { openCounts } from './sample-counts.ts';
import type { SampleCounts } from './sample-counts.ts';

const LOOK_MS = 500;
/**
 * Longer than a trainer that lost the leadership may go on working (runtime/leader.ts), so that two trainers never take
 * a run from each other in turn.
 */
const HANDOVER_MS = 6000;

/** The service. */
export const trainer = leadingService({
  name: 'trainer',
  does: 'trains when enough new samples are approved',
  access: {
    ...modelLogAccess,
    reads: [...modelLogAccess.reads, topics.trainingSamples, topics.approvedSampleCounts, topics.adoptedPolicies],
  },
  topic: topics.trainingRuns.name,
  counters: ['runs'],
  progress: ({ runs }) => runs,
  lead,
});

async function lead(context: ServiceContext, signal: AbortSignal, stats: { runs: number }): Promise<void> {
  const { config, kafka, codecs, log: logger } = context;
  const log = await openModelLog(kafka, codecs);
  const counts = await openCounts(context);
  const order = {
    servers: context.servers,
    training: config.training,
    dataSets: path.join(config.home, DATA_SETS),
    trainer: `${os.hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`,
  };
  try {
    while (!signal.aborted) {
      await askForDue(context, log, await counts.read(), order.trainer);
      const [next] = openRuns(await log.read());
      if (next === undefined) {
        await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
        continue;
      }
      logger.info({ run: next }, 'training run begins');
      const run = await executeInProcess({ ...order, id: next }, signal);
      stats.runs++;
      logger.info(
        { run: next, status: run?.status, version: run?.version, verdict: run?.verdict, failure: run?.failure },
        'training run ended',
      );
      if (run?.status === 'requested' || run?.status === 'running')
        await sleep(HANDOVER_MS, undefined, { signal }).catch(() => undefined); // another trainer has taken it up
    }
  } finally {
    await counts.close();
    await log.close();
  }
}

/** Requests the runs that are due. The data set of each ends exactly at its crossing, however late that is noticed. */
async function askForDue(
  context: ServiceContext,
  log: ModelLogPort,
  { approvals, watermark: end }: SampleCounts,
  by: string,
): Promise<void> {
  const { threshold } = context.config.training;
  const asked = lastAsked(await log.read(), DATA_SET);
  const due = dueRuns(DATA_SET, approvals, asked.approvals, threshold);
  if (due.length === 0) return;
  const partitions = [...end].map(([partition, to]) => marksOf(context, partition, asked.watermark, to));
  const crossings = watermarks(partitions, asked.watermark, threshold);
  try {
    for (const run of due) {
      const { value: watermark } = await crossings.next();
      const request = { ...run, dataSet: DATA_SET, trigger: 'threshold', watermark, atLeast: threshold } as const;
      const after = await log.append((now) => requestRun(now, request, { by, at: Date.now() }));
      // Another request covers a different part now; the next check continues after it.
      if (lastAsked(after, DATA_SET).approvals !== run.approvals) return;
    }
  } finally {
    await crossings.return(undefined as never);
  }
}

/** Yields the marks of a partition lazily. */
async function* marksOf(
  context: ServiceContext,
  partition: number,
  from: Watermark,
  to: number,
): AsyncGenerator<SampleMark> {
  if (to <= (from.get(partition) ?? 0)) return;
  const records = readRecords(context, topics.trainingSamples, { from, ends: new Map([[partition, to]]) });
  for await (const { offset, timestamp, value } of records)
    if (value) yield { partition, offset, timestamp, approves: value.approved !== null };
}
