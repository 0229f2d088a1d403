/** The days that were closed, in the topic daily-reports: each once, whoever tries at the same time. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Day } from '../kpi/day.ts';
import { fencedWrite } from '../runtime/fenced-write.ts';
import { Transient } from '../runtime/rdkafka.ts';
import { readRecords } from '../runtime/read-topic.ts';
import type { Source } from '../runtime/read-topic.ts';
import type { DayClosed } from '../schemas/types.ts';
import { topics } from '../topology.ts';

/** Under this id days are closed, one process at a time. */
export const CLOSING_ID = 'samvad-daily-reports';

/** Every closed day, by day. */
export async function readClosedDays(log: Source): Promise<ReadonlyMap<Day, DayClosed>> {
  const closed = new Map<Day, DayClosed>();
  for await (const { value: event } of readRecords(log, topics.dailyReports))
    if (event && !closed.has(event.day)) closed.set(event.day, event);
  return closed;
}

/** No attempt begins later: where Kafka does not answer, each takes long by itself. */
const GIVE_UP_MS = 30_000;
/** Before the next attempt, at most, by chance: those who begin at the same time would go on shutting each other out. */
const WAIT_MS = 1000;

/**
 * Closes a day with `event`, unless somebody has: then theirs stands. Returns the one that stands.
 * @throws Transient when somebody else was writing in each attempt, or Kafka does not answer.
 */
export async function closeDay(log: Source, event: DayClosed): Promise<DayClosed> {
  let stands = event;
  const decide = async () => {
    stands = (await readClosedDays(log)).get(event.day) ?? event;
    const value = log.codecs.of(topics.dailyReports).encode(event);
    return stands === event
      ? [{ topic: topics.dailyReports.name, key: event.day, value, timestamp: event.closed_at }]
      : [];
  };
  for (const end = Date.now() + GIVE_UP_MS; ;) {
    try {
      await fencedWrite(log.kafka, CLOSING_ID, decide);
      return stands;
    } catch (error) {
      if (!(error instanceof Transient) || Date.now() > end) throw error;
      await sleep(Math.random() * WAIT_MS);
    }
  }
}
