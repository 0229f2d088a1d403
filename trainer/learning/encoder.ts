/**
 * The interface between text and numbers. An encoder turns a text into one sparse row per view. Everything learned
 * (feature weights, their meaning) is part of the model, so an encoder is only a configuration.
 */
import { reasonOf } from '../../runtime/reason.ts';
import { HashedNgrams } from './hashed-ngrams.ts';
import type { HashedNgramsConfig } from './hashed-ngrams.ts';
import type { TokensConfig } from './token-encoder.ts';
import { EncoderError, TransformerEncoder } from './transformer-encoder.ts';
import type { TransformerConfig } from './transformer-encoder.ts';

/** One representation of a text. `width` is the number of features; indices are below it. */
export interface View {
  readonly name: string;
  readonly width: number;
}

/**
 * Sparse rows, one per text (compressed sparse rows): row r has the features `indices[starts[r]]` up to
 * `indices[starts[r + 1]]`, with their `values`.
 */
export interface Rows {
  readonly starts: Int32Array;
  readonly indices: Int32Array;
  readonly values: Float32Array;
}

/** The encoder's configuration in a model file: enough to create the same encoder again. */
export type EncoderConfig = HashedNgramsConfig | TransformerConfig | TokensConfig;

/** Turns texts into features. Equal texts always give equal features. */
export interface Encoder {
  readonly config: EncoderConfig;
  readonly views: readonly View[];
  /** The rows of `texts` in each view, in the order of `views`. */
  encode(texts: readonly string[]): Promise<readonly Rows[]>;
  close(): Promise<void>;
}

/** Folders for encoders that consist of files. */
export interface EncoderPlaces {
  /** The folder of encoders, with a subfolder for each, including downloaded ones; `models` when absent. */
  readonly models?: string;
  /** The folder where embeddings are cached; when absent, none are. */
  readonly cache?: string;
}

/** Creates the encoder of a configuration. @throws EncoderError when its files are missing or it does not work. */
export async function createEncoder(config: EncoderConfig, places: EncoderPlaces = {}): Promise<Encoder> {
  switch (config.kind) {
    case 'hashed-ngrams':
      return new HashedNgrams(config);
    case 'transformer':
      return TransformerEncoder.load(config, places);
    case 'tokens': {
      // Imported only when needed, because the library takes a second to load.
      const { TokenEncoder } = await import('./token-encoder.ts');
      try {
        return new TokenEncoder(config);
      } catch (cause) {
        throw new EncoderError(`Its tokenizer can't be used: ${reasonOf(cause)}.`, { cause });
      }
    }
    default:
      throw new EncoderError(`There is no encoder of the kind ${String((config as { kind: unknown }).kind)}.`);
  }
}
