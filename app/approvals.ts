/** The number of approvals that the sample counter has counted, for the page of data sets. */
import { openCounts } from '../trainer/sample-counts.ts';
import type { Prepared } from './environment.ts';

/** Reads the counts from the log. The first read opens the topic; later reads continue from there. */
export function approvalsReader(prepared: Pick<Prepared, 'servers' | 'codecs'>) {
  let counts: ReturnType<typeof openCounts> | undefined;
  let reading: Promise<number> = Promise.resolve(0);

  async function readOnce(): Promise<number> {
    counts ??= openCounts({ kafka: prepared.servers.kafka, codecs: prepared.codecs });
    counts.catch(() => (counts = undefined));
    return (await (await counts).read()).approvals;
  }

  return {
    /** Reads run one after the other, because they share a reader. @throws Transient when Kafka does not answer. */
    read(): Promise<number> {
      reading = reading.catch(() => 0).then(readOnce);
      return reading;
    },
    async close(): Promise<void> {
      await reading.catch(() => undefined);
      await (await counts?.catch(() => undefined))?.close();
    },
  };
}
