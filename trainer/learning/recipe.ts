/** How models are made here, as the configuration says. */
import type { TrainerProgram, TrainingConfig } from '../../config.ts';
import type { EncoderPlaces } from './encoder.ts';
import type { TrainingOptions } from './train.ts';

/** What makes a model of rows: this trainer with its options, or a program in its place. */
export interface Recipe {
  readonly options: TrainingOptions;
  readonly program?: TrainerProgram;
  /** For encoders that are files. */
  readonly places: EncoderPlaces;
}

/** The recipe that is configured. */
export function recipeOf({ encoder, program, encoders, embeddings }: TrainingConfig): Recipe {
  return {
    options: encoder ? { encoder: { kind: 'transformer', ...encoder } } : {},
    ...(program && { program }),
    places: { models: encoders, cache: embeddings },
  };
}

/** Where a model that only answers finds its encoder: what people ask is not kept. */
export function servingPlaces({ encoders }: Pick<TrainingConfig, 'encoders'>): EncoderPlaces {
  return { models: encoders };
}
