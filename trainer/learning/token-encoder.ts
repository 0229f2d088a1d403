/**
 * Token ids for models of external programs, whose graph contains the whole transformer. The tokenizer is stored in the
 * model's metadata.
 */
import { PreTrainedTokenizer } from '@xenova/transformers';
import type { Encoder, Rows, View } from './encoder.ts';

/** A tokenizer in Hugging Face's format. */
export interface TokensConfig {
  readonly kind: 'tokens';
  /** The content of tokenizer.json. */
  readonly tokenizer: Readonly<Record<string, unknown>>;
  /** The content of tokenizer_config.json. */
  readonly tokenizerConfig: Readonly<Record<string, unknown>>;
  /** The most tokens per text; longer texts are cut. */
  readonly maxLength: number;
}

/** Indices are the token ids in order, values are 1: input ids and attention mask. */
export class TokenEncoder implements Encoder {
  readonly config: TokensConfig;
  readonly views: readonly View[];
  readonly #tokenizer: PreTrainedTokenizer;

  constructor(config: TokensConfig) {
    this.config = config;
    this.views = [{ name: 'tokens', width: 2 ** 31 }];
    this.#tokenizer = new PreTrainedTokenizer(config.tokenizer, config.tokenizerConfig);
  }

  /** Rejects when the tokenizer fails on a text. */
  // eslint-disable-next-line @typescript-eslint/require-await -- what the tokenizer throws is a rejection like any other
  async encode(texts: readonly string[]): Promise<readonly Rows[]> {
    const ids = texts.map((text) => this.#tokenizer.encode(text.normalize('NFC')).slice(0, this.config.maxLength));
    const starts = new Int32Array(texts.length + 1);
    ids.forEach((row, i) => (starts[i + 1] = (starts[i] ?? 0) + row.length));
    const indices = Int32Array.from(ids.flat());
    return [{ starts, indices, values: new Float32Array(indices.length).fill(1) }];
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
