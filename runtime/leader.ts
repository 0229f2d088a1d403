/**
 * Elects a leader through a consumer group: the member that owns the only partition of a topic leads. A leader that was
 * paused may not know yet that another one leads, so its writes must be fenced by other means.
 */
import type { KafkaConfig } from '../config.ts';
import { runGroupSession } from './group-session.ts';
import { asError } from './reason.ts';

const OFFSET_END = -1;
/** When a member joins, the group reassigns its partitions, and the leader mostly gets its own back. Work continues for this long meanwhile. */
const GRACE_MS = 5000;

/** What a member of the election needs. */
export interface Candidate {
  readonly kafka: KafkaConfig;
  readonly groupId: string;
  /** A topic with one partition; its records are ignored. */
  readonly topic: string;
  readonly stopping: AbortSignal;
  /** Works until the signal is aborted: leadership is lost, or the process stops. An error that it throws ends the session. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
  readonly onLeading: (leading: boolean) => void;
}

/** Takes part in the election until `stopping`. Rejects with the error that ended the work. */
export async function leadInTurn(candidate: Candidate): Promise<void> {
  const { kafka, groupId, topic, stopping, lead, onLeading } = candidate;
  const ended = new AbortController();
  let failure: Error | undefined;
  let term: AbortController | undefined;
  let ending: NodeJS.Timeout | undefined;
  let work: Promise<void> = Promise.resolve();
  const begin = () => {
    term = new AbortController();
    const signal = AbortSignal.any([term.signal, stopping]);
    onLeading(true);
    work = work
      .then(() => lead(signal))
      .catch((error: unknown) => {
        if (signal.aborted) return;
        failure = asError(error);
        ended.abort();
      });
  };
  const end = () => {
    term?.abort();
    term = undefined;
    onLeading(false);
  };
  const nothing = () => Promise.resolve();
  try {
    await runGroupSession(
      {
        kafka,
        groupId,
        topics: [topic],
        maxBatch: 100,
        stopping: AbortSignal.any([stopping, ended.signal]),
        takeOver: (_, partitions) =>
          Promise.resolve(
            partitions.map(({ topic: name, partition }) => ({ topic: name, partition, offset: OFFSET_END })),
          ),
        stage: nothing,
        commit: nothing,
        atEnds: nothing,
        checkpoint: nothing,
      },
      (assigned) => {
        clearTimeout(ending);
        if (assigned > 0 && !term) begin();
        else if (assigned === 0 && term) ending = setTimeout(end, GRACE_MS);
      },
    );
  } finally {
    clearTimeout(ending);
    end();
    await work;
  }
  if (failure) throw failure;
}
