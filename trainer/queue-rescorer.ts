/**
 * Scores what waits for a person anew when a version comes into production: what an older one doubted may be plain to the
 * new one, and the other way round. Its answers are records of the topic queue-scores, which the queue's order in Postgres
 * prefers to the first score; no processor asks a model. Any number may run; one leads, and doing it twice writes once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { deploymentOf } from '../policy/model-log.ts';
import { usefulness } from '../policy/review-priority.ts';
import { fencedWrite } from '../runtime/fenced-write.ts';
import type { EncodedRecord } from '../runtime/fenced-write.ts';
import { leadingService } from '../runtime/leading-service.ts';
import { readTopic } from '../runtime/read-topic.ts';
import type { ServiceContext } from '../runtime/service.ts';
import type { QueueScore, ReviewItem } from '../schemas/types.ts';
import type { Topic } from '../stream/topic.ts';
import { topics } from '../topology.ts';
import { openArtifactFolder } from './artifacts.ts';
import { loadModel } from './model.ts';
import type { Model } from './model.ts';
import { modelLogAccess, openModelLog } from './model-log.ts';

const LOOK_MS = 1000;
const TRANSACTIONAL_ID = 'samvad-queue-scores';

/** The service. */
export const queueRescorer = leadingService({
  name: 'queue-rescorer',
  does: 'scores what waits for a person anew when a version comes into production',
  access: {
    reads: [...modelLogAccess.reads, topics.reviewQueue, topics.queueScores],
    writes: [topics.queueScores],
    transactionalIds: [TRANSACTIONAL_ID],
  },
  topic: topics.queueScores.name,
  counters: ['looks', 'rescored'],
  progress: ({ rescored }) => rescored,
  lead,
});

async function lead(
  context: ServiceContext,
  signal: AbortSignal,
  stats: { looks: number; rescored: number },
): Promise<void> {
  const log = await openModelLog(context.kafka, context.codecs);
  let done = '';
  try {
    while (!signal.aborted) {
      const now = await log.read();
      const { production } = deploymentOf(now);
      const sha256 = now.models.get(production)?.standing.artifact_sha256;
      if (production !== done && sha256 != null) {
        const items = await rescoreQueue(context, production, sha256).catch((error: unknown) => {
          if (!isMissing(error)) throw error;
          context.log.warn({ version: production, error: String(error) }, 'the queue keeps its scores');
          return 0;
        });
        stats.looks++;
        stats.rescored += items;
        context.log.info({ version: production, items }, 'the queue was scored anew');
      }
      done = production;
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await log.close();
  }
}

/** A file that is not here, or is damaged: another machine may have it, and the queue works without. */
function isMissing(error: unknown): boolean {
  return error instanceof Error && ['ArtifactError', 'ModelRefused'].includes(error.name);
}

/** Scores everything that waits and was not answered by `version`. Returns how many items got a new score. */
async function rescoreQueue(context: ServiceContext, version: string, sha256: string): Promise<number> {
  const bytes = await openArtifactFolder(context.config.training.artifacts).get(sha256);
  const model = await loadModel(bytes, sha256);
  let items = 0;
  try {
    await fencedWrite(context.kafka, TRANSACTIONAL_ID, async () => {
      const [waiting, scored] = [
        await readTable(context, topics.reviewQueue),
        await readTable(context, topics.queueScores),
      ];
      const asked = [...waiting.values()].filter(
        ({ conversation_id: id, conversation }) =>
          conversation.model_version !== version && scored.get(id)?.model_version !== version,
      );
      items = asked.length;
      const answered = [...scored.keys()].filter((id) => !waiting.has(id));
      const codec = context.codecs.of(topics.queueScores);
      const at = Date.now();
      const record = (key: string, value: Buffer | null): EncodedRecord => ({
        topic: topics.queueScores.name,
        key,
        value,
        timestamp: at,
      });
      return [
        ...(await scoresOf(model, version, asked, at)).map((score) =>
          record(score.conversation_id, codec.encode(score)),
        ),
        ...answered.map((id) => record(id, null)),
      ];
    });
  } finally {
    await model.close();
  }
  return items;
}

/** The new scores, in the order of `items`. */
export async function scoresOf(
  model: Pick<Model, 'classify'>,
  version: string,
  items: readonly ReviewItem[],
  at: number,
): Promise<readonly QueueScore[]> {
  const answers = await model.classify(items.map(({ conversation }) => conversation.user_message));
  return items.flatMap((item, i) => {
    const answer = answers[i];
    if (!answer) return [];
    const { intent, module, confidence, runnersUp } = answer;
    const score = usefulness(item, { confidence, runnerUp: runnersUp[0]?.confidence ?? 0 });
    return [
      {
        conversation_id: item.conversation_id,
        model_version: version,
        intent,
        module,
        confidence,
        score,
        scored_at: at,
      },
    ];
  });
}

/** The latest value of each key. Both tables are no larger than what waits. */
async function readTable<V>({ kafka, codecs }: ServiceContext, topic: Topic<V>): Promise<Map<string, V>> {
  const codec = codecs.of(topic);
  await codec.prepareAll();
  const table = new Map<string, V>();
  for await (const { key, value } of readTopic(kafka, topic.name)) {
    if (value === null) table.delete(String(key));
    else table.set(String(key), codec.decode(value));
  }
  return table;
}
