/** The model log in memory, as strict as the one on Kafka: one append at a time, decided on the state right before it. */
import { emptyLog, firstModel, foldLog } from '../../policy/model-log.ts';
import type { Appended, ModelLog } from '../../policy/model-log.ts';
import type { ModelEvent, TrainingRunEvent } from '../../schemas/types.ts';
import type { ModelLogPort } from '../../trainer/model-log.ts';

/** A model log with its events. */
export interface MemoryModelLog extends ModelLogPort {
  readonly runs: TrainingRunEvent[];
  readonly models: ModelEvent[];
}

/** A model log that holds the first event. */
export function memoryModelLog(): MemoryModelLog {
  let log: ModelLog = foldLog(emptyLog, { models: [firstModel()] });
  const [runs, models]: [TrainingRunEvent[], ModelEvent[]] = [[], [firstModel()]];
  return {
    runs,
    models,
    read: () => Promise.resolve(log),
    async append(decide: (log: ModelLog) => Appended) {
      await Promise.resolve();
      const appended = decide(log);
      runs.push(...(appended.runs ?? []));
      models.push(...(appended.models ?? []));
      log = foldLog(log, appended);
      return log;
    },
    close: () => Promise.resolve(),
  };
}
