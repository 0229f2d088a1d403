/**
 * Follows the topics model-events and adopted-policies, so that a promotion, a rollback or a policy takes effect within
 * moments.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { KafkaConfig } from '../config.ts';
import { withCanonicalTags } from '../policy/language.ts';
import { emptyLog, foldLog } from '../policy/model-log.ts';
import type { ModelLog } from '../policy/model-log.ts';
import { defaultPolicy } from '../policy/routing.ts';
import type { RoutingPolicy } from '../policy/routing.ts';
import { Transient } from '../runtime/rdkafka.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import { runSessions } from '../runtime/sessions.ts';
import type { Background } from '../runtime/sessions.ts';
import { openTopicView } from '../runtime/topic-view.ts';
import { within } from '../runtime/within.ts';
import type { Topic } from '../stream/topic.ts';
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
  const view = <V>(topic: Topic<V>, take: (values: readonly V[]) => void) => {
    const codec = codecs.of(topic);
    return openTopicView({
      kafka,
      topic: topic.name,
      partitions: 1, // of the policies too: intake writes them all to the first
      async onRecords(records) {
        await codec.prepare(records.map(({ value }) => value));
        take(records.flatMap(({ value }) => (value === null ? [] : [codec.decode(value)])));
        changed = true;
      },
    });
  };
  const policies = await view(topics.adoptedPolicies, (adopted) => {
    const last = adopted.at(-1)?.policy;
    if (last) policy = withCanonicalTags(last);
  });
  const events = await view(topics.modelEvents, (next) => {
    models = foldLog(models, { models: next });
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
