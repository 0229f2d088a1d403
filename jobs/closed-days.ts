/** The closed days, in the topic daily-reports. Each is closed once, even when several processes try at the same time. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Day } from '../kpi/day.ts';
import { fencedWrite } from '../runtime/fenced-write.ts';
import { Transient } from '../runtime/rdkafka.ts';
import { readRecords } from '../runtime/read-topic.ts';
import type { Source } from '../runtime/read-topic.ts';
import type { DayClosed } from '../schemas/types.ts';
import { topics } from '../topology.ts';

/** The transactional id that lets one process at a time close days. */
export const CLOSING_ID = 'samvad-daily-reports';

/** Closed days with their reports. */
export type ClosedDays = ReadonlyMap<Day, DayClosed>;

/** Every closed day. Of a day that was closed twice, the first event counts. */
export async function readClosedDays(log: Source): Promise<ClosedDays> {
  const closed = new Map<Day, DayClosed>();
  for await (const { value: event } of readRecords(log, topics.dailyReports))
    if (event && !closed.has(event.day)) closed.set(event.day, event);
  return closed;
}

/** No attempt begins after this time: while Kafka does not answer, each attempt takes long. */
const GIVE_UP_MS = 30_000;
/** Longest wait before the next attempt. It is random, so that processes that begin together do not fence each other for ever. */
const WAIT_MS = 1000;

/**
 * Closes those of `days` that are not in `known`, all in one transaction, with the events that `make` gives for them, in order. When
 * another process has closed one of them meanwhile, its report stands and the other events are made again, because a report
 * depends on those before it. Returns all closed days.
 * @throws Transient when another process was writing in each attempt, or Kafka does not answer.
 */
export async function closeDays(
  log: Source,
  known: ClosedDays,
  days: readonly Day[],
  make: (days: readonly Day[], closed: ClosedDays) => Promise<readonly DayClosed[]>,
): Promise<ClosedDays> {
  const codec = log.codecs.of(topics.dailyReports);
  let closed = known;
  for (const end = Date.now() + GIVE_UP_MS; ;) {
    const open = days.filter((day) => !closed.has(day));
    if (open.length === 0) return closed;
    const events = await make(open, closed);
    const records = events.map((event) => ({
      ...{ topic: topics.dailyReports.name, key: event.day },
      ...{ value: codec.encode(event), timestamp: event.closed_at },
    }));
    try {
      await fencedWrite(log.kafka, CLOSING_ID, async () => {
        closed = await readClosedDays(log);
        return open.some((day) => closed.has(day)) ? [] : records;
      });
      if (!open.some((day) => closed.has(day))) return new Map([...closed, ...byDay(events)]);
    } catch (error) {
      if (!(error instanceof Transient) || Date.now() > end) throw error;
      await sleep(Math.random() * WAIT_MS);
    }
  }
}

function byDay(events: readonly DayClosed[]): ClosedDays {
  return new Map(events.map((event) => [event.day, event]));
}
