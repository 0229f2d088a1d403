/**
 * The model log on Kafka: the topics training-runs and model-events, read as one and written by one process at a time.
 *
 * Appending is compare-and-set (runtime/fenced-write.ts): a writer that was overtaken while it decided is refused and
 * starts again. So every event is decided on a log that ends right before it, even after pauses and kills: two trainers
 * can't register the same run twice, and a zombie learns that it was superseded.
 */
import type { KafkaConfig } from '../config.ts';
import { emptyLog, firstModel, foldLog } from '../policy/model-log.ts';
import type { Appended, ModelLog } from '../policy/model-log.ts';
import { fencedWrite } from '../runtime/fenced-write.ts';
import type { EncodedRecord } from '../runtime/fenced-write.ts';
import { oneAtATime } from '../runtime/one-at-a-time.ts';
import { Transient } from '../runtime/rdkafka.ts';
import { valuesOf } from '../runtime/read-topic.ts';
import type { Codecs } from '../runtime/schema-registry.ts';
import type { Access } from '../runtime/service.ts';
import { openView } from '../runtime/topic-view.ts';
import { topics } from '../topology.ts';

/** The log as training, deployment and measuring use it. */
export interface ModelLogPort {
  /** The current state of the log. */
  read(): Promise<ModelLog>;
  /**
   * Appends the events that `decide` returns for the current state. `decide` may be called again with a later state.
   * Returns the log after the append. An error thrown by `decide` is rethrown, and nothing is written.
   */
  append(decide: (log: ModelLog) => Appended): Promise<ModelLog>;
  close(): Promise<void>;
}

const TRANSACTIONAL_ID = 'samvad-model-log';
/** What `openModelLog` and `append` need. */
export const modelLogAccess = {
  reads: [topics.trainingRuns, topics.modelEvents],
  writes: [topics.trainingRuns, topics.modelEvents],
  transactionalIds: [TRANSACTIONAL_ID],
} as const satisfies Access;
const ATTEMPTS = 20;
const READ_ATTEMPTS = 2;

/** Opens the log without joining a group. The first process to open an empty log writes its first event. */
export async function openModelLog(kafka: KafkaConfig, codecs: Codecs): Promise<ModelLogPort> {
  let log = emptyLog;
  const source = { kafka, codecs };
  const runs = await openView(source, topics.trainingRuns, {
    partitions: 1,
    onRecords: (records) => (log = foldLog(log, { runs: valuesOf(records) })),
  });
  const models = await openView(source, topics.modelEvents, {
    partitions: 1,
    onRecords: (records) => (log = foldLog(log, { models: valuesOf(records) })),
  });
  const exclusively = oneAtATime(); // calls share the views

  async function read(): Promise<ModelLog> {
    await runs.catchUp();
    await models.catchUp();
    return log;
  }

  async function tryAppend(decide: (log: ModelLog) => Appended): Promise<ModelLog> {
    await fencedWrite(kafka, TRANSACTIONAL_ID, async () => encode(codecs, decide(await read())));
    return read();
  }

  /**
   * Retries after a view stalled or another writer was faster; the next read then restarts the view
   * (runtime/topic-view.ts).
   */
  async function patiently<T>(attempts: number, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof Transient) || attempt === attempts) throw error;
      }
    }
  }

  const port: ModelLogPort = {
    read: () => exclusively(() => patiently(READ_ATTEMPTS, read)),
    append: (decide) => exclusively(() => patiently(ATTEMPTS, () => tryAppend(decide))),
    close: () =>
      exclusively(async () => {
        await runs.close();
        await models.close();
      }),
  };
  try {
    if ((await port.read()).models.size === 0)
      await port.append(({ models: known }) => (known.size === 0 ? { models: [firstModel()] } : {}));
  } catch (error) {
    await port.close();
    throw error;
  }
  return port;
}

function encode(codecs: Codecs, { runs = [], models = [] }: Appended): readonly EncodedRecord[] {
  const [runCodec, modelCodec] = [codecs.of(topics.trainingRuns), codecs.of(topics.modelEvents)];
  return [
    ...runs.map((event) => ({
      topic: topics.trainingRuns.name,
      key: event.run_id,
      value: runCodec.encode(event),
      timestamp: event.at,
    })),
    ...models.map((event) => ({
      topic: topics.modelEvents.name,
      key: event.version,
      value: modelCodec.encode(event),
      timestamp: event.at,
    })),
  ];
}
