/**
 * Follows the topics model-events and adopted-policies, so that a promotion, a rollback or a policy takes effect within
 * moments.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import { emptyLog, foldLog } from '../policy/model-log.ts';
import type { ModelLog } from '../policy/model-log.ts';
import { defaultPolicy } from '../policy/routing.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import { Transient } from '../runtime/rdkafka.ts';
import { valuesOf } from '../runtime/read-topic.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { runSessions } from '../runtime/sessions.ts';
import type { Background } from '../runtime/sessions.ts';
import { openView } from '../runtime/topic-view.ts';
import { within } from '../runtime/within.ts';
import { topics } from '../topology.ts';

/** The options of a follower. */
export interface FollowOptions {
  readonly kafka: KafkaConfig;
  readonly codecs: Codecs;
  readonly log: Logger;
  /** Called with the whole log and the policy in force after each change, and once when the end is first reached. */
  readonly onChange: (models: ModelLog, policy: RoutingPolicy) => void;
}

/** How often the ends of the topics are read, in milliseconds. */
const POLL_MS = 150;
/** A reader that makes no progress for this long is replaced by a new one, which reads from the start. */
const PROGRESS_MS = 10_000;

/** Starts to follow the topics. Returns at once. */
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
  let [models, policy, changed] = [emptyLog, defaultPolicy, true];
  const source = { kafka, codecs };
  const policies = await openView(source, topics.adoptedPolicies, {
    partitions: 1, // intake writes all policies to the first partition
    onRecords(records) {
      const last = valuesOf(records).at(-1)?.policy;
      if (last) policy = last;
      changed = true;
    },
  });
  const events = await openView(source, topics.modelEvents, {
    partitions: 1,
    onRecords(records) {
      models = foldLog(models, { models: valuesOf(records) });
      changed = true;
    },
  }).catch(async (error: unknown) => {
    await policies.close();
    throw error;
  });
  const catchUp = async () => {
    await policies.catchUp();
    await events.catchUp();
  };
  try {
    while (!stopping.aborted) {
      await within(PROGRESS_MS, catchUp(), stuck);
      onRead();
      if (changed) {
        changed = false;
        onChange(models, policy);
      }
      await sleep(POLL_MS, undefined, { signal: stopping }).catch(() => undefined);
    }
  } finally {
    await events.close();
    await policies.close();
  }
}

function stuck(): Error {
  return new Transient(`Reading model-events and adopted-policies made no progress for ${PROGRESS_MS / 1000} s.`);
}
