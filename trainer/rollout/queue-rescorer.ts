/**
 * Scores waiting conversations again when a version comes into production, because it may doubt other texts than the
 * version before it. The scores are records of the topic queue-scores, which take precedence over the first score in
 * the queue's order in Postgres; no processor asks a model. The waiting items are read from Postgres, where the queue
 * is ordered: a late or missing score only affects places in the queue. Any number of copies may run; one leads.
 * Repeating the work writes nothing new.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { deploymentOf } from '../../policy/model-log.ts';
import { usefulnessBy } from '../../policy/review-priority.ts';
import type { Outcome } from '../../policy/review-priority.ts';
import { fencedWrite } from '../../runtime/fenced-write.ts';
import type { EncodedRecord } from '../../runtime/fenced-write.ts';
import { leadingService } from '../../runtime/leading-service.ts';
import { readRecords } from '../../runtime/read-topic.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import type { QueueScore } from '../../schemas/types.ts';
import { topics } from '../../topology.ts';
import { openArtifactFolder } from '../artifacts.ts';
import { isRefusal, loadModel } from '../learning/model.ts';
import type { Model } from '../learning/model.ts';
import { servingPlaces } from '../learning/recipe.ts';
import { modelLogAccess, openModelLog } from '../model-log.ts';

const LOOK_MS = 1000;
/**
 * How long to wait before looking again for a missing file, which may still arrive from the machine that trained the
 * version.
 */
const MISSING_MS = 10_000;
const TRANSACTIONAL_ID = 'samvad-queue-scores';
/**
 * The number of items to score: more than people answer before the next version, and few enough for one transaction.
 */
const FRONT = 10_000;

/** The service. */
export const queueRescorer = leadingService({
  name: 'queue-rescorer',
  does: 'scores the waiting queue again when a version comes into production',
  access: {
    reads: [...modelLogAccess.reads, topics.queueScores],
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
  let [done, missed] = ['', ''];
  try {
    while (!signal.aborted) {
      let wait = LOOK_MS;
      const now = await log.read();
      const { production } = deploymentOf(now);
      if (production !== done) {
        const sha256 = now.models.get(production)?.standing.artifact_sha256 ?? null;
        const model = await modelOf(context, sha256).catch((error: unknown) => {
          if (!isRefusal(error)) throw error; // another machine may have the file, and the queue works without it
          const why = { version: production, error: String(error) };
          if (missed !== production) context.log.warn(why, 'the queue keeps its scores until the file is here');
          missed = production;
          return undefined;
        });
        stats.looks++;
        if (model !== undefined) {
          stats.rescored += await rescore(context, production, model);
          done = production;
        } else wait = MISSING_MS;
      }
      await sleep(wait, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await log.close();
  }
}

/** The model of a version; null when it has no file. */
async function modelOf({ config: { training } }: ServiceContext, sha256: string | null): Promise<Model | null> {
  if (sha256 === null) return null;
  const bytes = await openArtifactFolder(training.artifacts).get(sha256);
  return loadModel(bytes, servingPlaces(training));
}

/**
 * Scores the queue. If the version can't read one of the texts, the queue stays as it is. Returns the number of new
 * scores.
 */
async function rescore(context: ServiceContext, version: string, model: Model | null): Promise<number> {
  try {
    const items = await rescoreQueue(context, version, model);
    context.log.info({ version, items }, model ? 'the queue was rescored' : 'the queue has its first scores');
    return items;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    context.log.warn({ version, error: String(error) }, 'the queue keeps its scores');
    return 0;
  }
}

/**
 * Scores the front of the queue, except for items that `version` has answered or scored, and closes the model. Items
 * that it answered itself get their first score back, as do all items if it has no file. Returns the number of new
 * scores.
 */
async function rescoreQueue(context: ServiceContext, version: string, model: Model | null): Promise<number> {
  let items = 0;
  try {
    await fencedWrite(context.kafka, TRANSACTIONAL_ID, async () => {
      const scored = await readScores(context);
      const asked = model ? (await front(context.pool, version)).filter(({ id }) => scored.get(id) !== version) : [];
      items = asked.length;
      const codec = context.codecs.of(topics.queueScores);
      const at = Date.now();
      const record = (key: string, value: Buffer | null): EncodedRecord => ({
        topic: topics.queueScores.name,
        key,
        value,
        timestamp: at,
      });
      const scores = model ? await scoresOf(model, version, asked, at) : [];
      return [
        ...scores.map((score) => record(score.conversation_id, codec.encode(score))),
        ...(await useless(context.pool, scored, version, model !== null)).map((id) => record(id, null)),
      ];
    });
  } finally {
    await model?.close();
  }
  return items;
}

interface Waiting extends Outcome {
  readonly id: string;
  readonly text: string;
}

/** The first waiting items that `version` did not answer, in order. */
async function front(pool: Pool, version: string): Promise<readonly Waiting[]> {
  const { rows } = await pool.query<Waiting>(
    `SELECT conversation_id AS id, c.user_message AS text, c.response_success, c.nlu_provider
       FROM review_ranking r JOIN conversation_logs c USING (conversation_id)
      WHERE c.model_version IS DISTINCT FROM $1 ORDER BY r.review_priority LIMIT $2`,
    [version, FRONT],
  );
  return rows;
}

/**
 * Items whose score must go: they no longer wait, or the score is from another version and `version` answered the item
 * itself or `scores` nothing. Limited to what fits into one transaction.
 */
async function useless(
  pool: Pool,
  scored: ReadonlyMap<string, string>,
  version: string,
  scores: boolean,
): Promise<readonly string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `SELECT id FROM unnest($1::text[], $2::text[]) AS score (id, scored_by)
      WHERE NOT EXISTS (SELECT FROM review_queue q WHERE q.conversation_id = id)
         OR scored_by <> $3
            AND (NOT $4 OR EXISTS (SELECT FROM conversation_logs c WHERE c.conversation_id = id AND c.model_version = $3))
      LIMIT $5`,
    [[...scored.keys()], [...scored.values()], version, scores, FRONT],
  );
  return rows.map(({ id }) => id);
}

/** The new scores, in the order of `items`. */
async function scoresOf(
  model: Pick<Model, 'classify'>,
  version: string,
  items: readonly Waiting[],
  at: number,
): Promise<readonly QueueScore[]> {
  const answers = await model.classify(items.map(({ text }) => text));
  return items.flatMap((item, i) => {
    const answer = answers[i];
    if (!answer) return [];
    const { intent, module, confidence, runnersUp } = answer;
    const score = usefulnessBy({ confidence, runnerUp: runnersUp[0]?.confidence ?? 0 }, item);
    return [{ conversation_id: item.id, model_version: version, intent, module, confidence, score, scored_at: at }];
  });
}

/** The version behind the latest score of each scored item. */
async function readScores(context: ServiceContext): Promise<ReadonlyMap<string, string>> {
  const scores = new Map<string, string>();
  for await (const { key, value } of readRecords(context, topics.queueScores)) {
    if (value === null) scores.delete(String(key));
    else scores.set(String(key), value.model_version);
  }
  return scores;
}
