/**
 * The port between text and numbers. An encoder turns a text into one sparse row for each of its views; what is learned
 * (weights of features, what they mean) is in the model, so an encoder is only a configuration.
 */
import { reasonOf } from '../../runtime/reason.ts';
import { HashedNgrams } from './hashed-ngrams.ts';
import type { HashedNgramsConfig } from './hashed-ngrams.ts';
import type { TokensConfig } from './token-encoder.ts';
import { EncoderError, TransformerEncoder } from './transformer-encoder.ts';
import type { TransformerConfig } from './transformer-encoder.ts';

/** One way to look at a text. `width` is the number of different features, so indices are below it. */
export interface View {
  readonly name: string;
  readonly width: number;
}

/**
 * Sparse rows, one a text (compressed sparse rows): row r has the features `indices[starts[r]]` up to
 * `indices[starts[r + 1]]`, with their `values`.
 */
export interface Rows {
  readonly starts: Int32Array;
  readonly indices: Int32Array;
  readonly values: Float32Array;
}

/** What a model file says of its encoder: all that is needed to build the same one again. */
export type EncoderConfig = HashedNgramsConfig | TransformerConfig | TokensConfig;

/** Turns texts into features. The same text always gives the same features. */
export interface Encoder {
  readonly config: EncoderConfig;
  readonly views: readonly View[];
  /** The rows of `texts` in each view, in the order of `views`. */
  encode(texts: readonly string[]): Promise<readonly Rows[]>;
  close(): Promise<void>;
}

/** Folders for encoders that are files. */
export interface EncoderPlaces {
  /** Where encoders are, one folder each, those fetched from the hub among them; `models` where it is absent. */
  readonly models?: string;
  /** Where embeddings are kept, for texts that come again; none are where it is absent. */
  readonly cache?: string;
}

/** The encoder that a configuration describes. @throws EncoderError when it is not here or does not work. */
export async function createEncoder(config: EncoderConfig, places: EncoderPlaces = {}): Promise<Encoder> {
  switch (config.kind) {
    case 'hashed-ngrams':
      return new HashedNgrams(config);
    case 'transformer':
      return TransformerEncoder.load(config, places);
    case 'tokens': {
      // Only where it is needed: the library takes a second to load.
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
