/**
 * The trainer: asks for a run at each crossing of the threshold, and carries runs out, one after the other. Any number may
 * run; one leads. A run is a process of its own, outside of every poll loop, so it may take hours and nothing is
 * delivered again because of it.
 */
import { randomUUID } from 'node:crypto';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastAsked, openRuns, requestRun } from '../policy/training-run.ts';
import { dueRuns, totalApprovals, watermarkAt } from '../policy/trigger.ts';
import type { SampleMark, Watermark } from '../policy/trigger.ts';
import type { ApprovedSampleCount } from '../schemas/types.ts';
import { leadingService } from '../runtime/leading-service.ts';
import { readTopic } from '../runtime/read-topic.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { openTopicView } from '../runtime/topic-view.ts';
import { DATA_SET, PARTITIONS, topics } from '../topology.ts';
import { DATA_SETS } from './data-set-folder.ts';
import { modelLogAccess, openModelLog } from './model-log.ts';
import type { ModelLogPort } from './model-log.ts';
import { executeInProcess } from './run-process.ts';

const LOOK_MS = 500;
/** Longer than a trainer that leads no more goes on working (runtime/leader.ts): two must not take a run from each other in turn. */
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
        await sleep(HANDOVER_MS, undefined, { signal }).catch(() => undefined); // somebody else has taken it up
    }
  } finally {
    await counts.close();
    await log.close();
  }
}

/** Asks for the runs that are due. The data set of each reaches exactly to its crossing, however late it is noticed. */
async function askForDue(
  context: ServiceContext,
  log: ModelLogPort,
  counts: readonly ApprovedSampleCount[],
  by: string,
): Promise<void> {
  const total = totalApprovals(counts, DATA_SET);
  const { threshold } = context.config.training;
  let before = await log.read();
  for (;;) {
    const asked = lastAsked(before, DATA_SET);
    const [due] = dueRuns(DATA_SET, total, asked.approvals, threshold);
    if (!due) return;
    const marks = await marksBetween(context, asked.watermark, countedUpTo(counts));
    const watermark = watermarkAt(marks, asked.watermark, due.approvals - asked.approvals);
    const request = { ...due, dataSet: DATA_SET, trigger: 'threshold', watermark, atLeast: threshold } as const;
    before = await log.append((now) => requestRun(now, request, { by, at: Date.now() }));
  }
}

/** Offsets of training-samples up to which the counts reach. */
export function countedUpTo(counts: readonly ApprovedSampleCount[]): Watermark {
  return new Map(
    counts
      .filter(({ data_set }) => data_set === DATA_SET)
      .map(({ partition, next_offset }) => [partition, next_offset]),
  );
}

async function marksBetween({ kafka, codecs }: ServiceContext, from: Watermark, to: Watermark): Promise<SampleMark[]> {
  const codec = codecs.of(topics.trainingSamples);
  await codec.prepareAll();
  const ends = new Map([...to].filter(([partition, offset]) => offset > (from.get(partition) ?? 0)));
  const marks: SampleMark[] = [];
  for await (const { partition, offset, timestamp, value } of readTopic(kafka, topics.trainingSamples.name, ends, from))
    if (value !== null && offset < (to.get(partition) ?? 0))
      marks.push({ partition, offset, timestamp, approves: codec.decode(value).approved !== null });
  return marks;
}

/** The latest count of every partition. */
export async function openCounts({ kafka, codecs }: Pick<ServiceContext, 'kafka' | 'codecs'>) {
  const codec = codecs.of(topics.approvedSampleCounts);
  const latest = new Map<string, ApprovedSampleCount>();
  const view = await openTopicView({
    kafka,
    topic: topics.approvedSampleCounts.name,
    partitions: PARTITIONS,
    async onRecords(records) {
      await codec.prepare(records.map(({ value }) => value));
      for (const { key, value } of records) if (value !== null) latest.set(String(key), codec.decode(value));
    },
  });
  return {
    async read(): Promise<readonly ApprovedSampleCount[]> {
      await view.catchUp();
      return [...latest.values()];
    },
    close: () => view.close(),
  };
}
