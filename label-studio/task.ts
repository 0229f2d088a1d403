/** A waiting conversation as a task of Label Studio. */
import type { ReviewTask } from '../review/tasks.ts';
import type { ShownPrediction } from '../schemas/types.ts';
import type { NewTask } from './api.ts';
import { CONTROLS } from './labelling-config.ts';

/** The fields of a task, as a reviewer may see them. */
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
 * The model version under which Label Studio keeps every prediction. It fills in only predictions of the project's
 * single `model_version`; with the models' own versions, only one model's tasks would be filled in.
 */
export const PREDICTED_BY = 'samvad';

/** The task with the predicted label filled in. */
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

/** What the task's reviewer sees of the prediction. */
export function shownIn({ nlu_intent, nlu_module, nlu_confidence, model_version }: Waiting): ShownPrediction {
  return { intent: nlu_intent, module: nlu_module, confidence: nlu_confidence, model_version };
}
