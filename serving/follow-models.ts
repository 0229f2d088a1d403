/** Follows the topic model-events, so that a promotion or a rollback is known here a moment later. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import { emptyLog, foldLog } from '../policy/model-log.ts';
import type { ModelLog } from '../policy/model-log.ts';
import { Transient } from '../runtime/rdkafka.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { runSessions } from '../runtime/sessions.ts';
import type { Background } from '../runtime/sessions.ts';
import { openTopicView } from '../runtime/topic-view.ts';
import { within } from '../runtime/within.ts';
import { topics } from '../topology.ts';

/** What a follower reads with. */
export interface FollowOptions {
  readonly kafka: KafkaConfig;
  readonly codecs: Codecs;
  readonly log: Logger;
  /** Called with the whole log whenever it has changed, and once at the first end. */
  readonly onChange: (models: ModelLog) => void;
}

/** How often the end of the topic is asked for, in milliseconds. */
const POLL_MS = 150;
/** A reader that has not come to the end in this time is stuck: it is thrown away and a new one reads from the start. */
const PROGRESS_MS = 10_000;

/** Starts to follow. Returns at once. */
export function followModels(options: FollowOptions): Background {
  let reads = 0;
  return runSessions({
    session: (stopping) => follow(options, stopping, () => reads++),
    progress: () => reads,
    log: options.log,
  });
}

async function follow(
  { kafka, codecs, onChange }: FollowOptions,
  stopping: AbortSignal,
  onRead: () => void,
): Promise<void> {
  const codec = codecs.of(topics.modelEvents);
  let [models, changed] = [emptyLog, true];
  const view = await openTopicView({
    kafka,
    topic: topics.modelEvents.name,
    partitions: 1,
    async onRecords(records) {
      await codec.prepare(records.map(({ value }) => value));
      const events = records.flatMap(({ value }) => (value === null ? [] : [codec.decode(value)]));
      models = foldLog(models, { models: events });
      changed = true;
    },
  });
  try {
    while (!stopping.aborted) {
      await within(PROGRESS_MS, view.catchUp(), stuck);
      onRead();
      if (changed) {
        changed = false;
        onChange(models);
      }
      await sleep(POLL_MS, undefined, { signal: stopping }).catch(() => undefined);
    }
  } finally {
    await view.close();
  }
}

function stuck(): Error {
  return new Transient(`Reading model-events made no progress for ${PROGRESS_MS / 1000} s.`);
}
