/** A conversation that waits, as a task of Label Studio. */
import type { ReviewTask } from '../review/tasks.ts';
import type { ShownPrediction } from '../schemas/types.ts';
import type { NewTask } from './api.ts';
import { CONTROLS } from './labelling-config.ts';

/** What a task is made of, as a reviewer may see it. */
export type Waiting = Pick<
  ReviewTask,
  | 'conversation_id'
  | 'user_message'
  | 'language'
  | 'nlu_intent'
  | 'nlu_module'
  | 'nlu_confidence'
  | 'nlu_provider'
  | 'model_version'
>;

/**
 * The name under which Label Studio keeps every prediction. It fills in only predictions whose name is the project's
 * `model_version`, of which there is one: with the models' own versions, the tasks of all but one would start empty.
 */
export const PREDICTED_BY = 'samvad';

/** The task, with the model's label filled in. */
export function taskOf(item: Waiting): NewTask {
  return {
    data: {
      conversation_id: item.conversation_id,
      text: item.user_message,
      language: item.language,
      predicted_intent: item.nlu_intent,
      predicted_module: item.nlu_module,
      model_version: item.model_version ?? item.nlu_provider ?? '',
    },
    predictions: [
      {
        model_version: PREDICTED_BY,
        score: item.nlu_confidence,
        result: [
          {
            from_name: CONTROLS.label,
            to_name: CONTROLS.message,
            type: 'taxonomy',
            value: { taxonomy: [[item.nlu_module, item.nlu_intent]] },
          },
        ],
      },
    ],
  };
}

/** What a reviewer of the task sees of the prediction. */
export function shownIn({ nlu_intent, nlu_module, nlu_confidence, model_version }: Waiting): ShownPrediction {
  return { intent: nlu_intent, module: nlu_module, confidence: nlu_confidence, model_version };
}
