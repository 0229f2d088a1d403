/** Reads what the sample counter has counted, from its table in the log. */
import { totalApprovals } from '../policy/trigger.ts';
import type { Watermark } from '../policy/trigger.ts';
import type { ServiceContext } from '../runtime/service.ts';
import { openView } from '../runtime/topic-view.ts';
import type { ApprovedSampleCount } from '../schemas/types.ts';
import { DATA_SET, PARTITIONS, topics } from '../topology.ts';

/** The counts of the data set, over all partitions. */
export interface SampleCounts {
  /** Approvals ever counted, including those withdrawn since. */
  readonly approvals: number;
  /** Samples that stand. */
  readonly approved: number;
  /** The offsets of training-samples up to which the counts reach. */
  readonly watermark: Watermark;
}

/** Opens a view of the latest count of every partition. */
export async function openCounts(context: Pick<ServiceContext, 'kafka' | 'codecs'>) {
  const latest = new Map<string, ApprovedSampleCount>();
  const view = await openView(context, topics.approvedSampleCounts, {
    partitions: PARTITIONS,
    onRecords(records) {
      for (const { key, value } of records) if (value) latest.set(String(key), value);
    },
  });
  return {
    /** The counts now. @throws Transient when Kafka does not answer. */
    async read(): Promise<SampleCounts> {
      await view.catchUp();
      const counts = [...latest.values()].filter(({ data_set }) => data_set === DATA_SET);
      return {
        approvals: totalApprovals(counts, DATA_SET),
        approved: counts.reduce((sum, { approved }) => sum + approved, 0),
        watermark: new Map(counts.map(({ partition, next_offset }) => [partition, next_offset])),
      };
    },
    close: () => view.close(),
  };
}
