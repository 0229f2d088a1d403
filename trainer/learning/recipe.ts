/** How models are trained, according to the configuration. */
import type { TrainerProgram, TrainingConfig } from '../../config.ts';
import type { EncoderPlaces } from './encoder.ts';
import type { TrainingOptions } from './train.ts';

/** How rows become a model: by this trainer with its options, or by an external program. */
export interface Recipe {
  readonly options: TrainingOptions;
  readonly program?: TrainerProgram;
  /** Folders for encoders that consist of files. */
  readonly places: EncoderPlaces;
}

/** The configured recipe. */
export function recipeOf({ encoder, program, encoders, embeddings }: TrainingConfig): Recipe {
  return {
    options: encoder ? { encoder: { kind: 'transformer', ...encoder } } : {},
    ...(program && { program }),
    places: { models: encoders, cache: embeddings },
  };
}

/** The folders for serving. There is no cache, because users' questions must not be stored. */
export function servingPlaces({ encoders }: Pick<TrainingConfig, 'encoders'>): EncoderPlaces {
  return { models: encoders };
}
