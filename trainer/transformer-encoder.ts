/** Any sentence encoder in ONNX (IndicBERT and its like) through transformers.js: a text becomes one dense row. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { FeatureExtractionPipeline } from '@xenova/transformers';
import { EmbeddingCache } from './embedding-cache.ts';
import type { Encoder, EncoderPlaces, Rows, View } from './encoder.ts';

/** Which encoder, and how its token vectors become one. */
export interface TransformerConfig {
  readonly kind: 'transformer';
  /** A folder below the folder of local models (config.json, tokenizer.json, onnx/model.onnx), or an id on the hub. */
  readonly model: string;
  /** Commit on the hub; a branch would let the encoder change behind the model's back. */
  readonly revision?: string;
  /** SHA-256 of a local onnx/model.onnx. Training fills it in; serving refuses another file. */
  readonly sha256?: string;
  readonly pooling: 'mean' | 'cls';
  readonly dimensions: number;
}

/** Texts that go through the encoder together. */
const BATCH = 16;

/** A sentence encoder with a cache. */
export class TransformerEncoder implements Encoder {
  readonly config: TransformerConfig;
  readonly views: readonly View[];
  readonly #pipeline: FeatureExtractionPipeline;
  readonly #cache: EmbeddingCache;

  private constructor(config: TransformerConfig, pipeline: FeatureExtractionPipeline, cache: EmbeddingCache) {
    this.config = config;
    this.views = [{ name: 'embedding', width: config.dimensions }];
    this.#pipeline = pipeline;
    this.#cache = cache;
  }

  /**
   * Loads the encoder.
   * @throws when it is neither a local folder nor a pinned id on the hub, or its file is not the one trained with.
   */
  static async load(config: TransformerConfig, places: EncoderPlaces): Promise<TransformerEncoder> {
    const folder = path.resolve(places.models ?? 'models', config.model);
    const local = existsSync(path.join(folder, 'config.json'));
    if (!local && config.revision === undefined)
      throw new Error(
        `There is no encoder in ${folder}, and ${config.model} has no revision to fetch it from the hub by. ` +
          'Put config.json, tokenizer.json and onnx/model.onnx there, or name a commit as its revision.',
      );
    const pinned = local ? await pin(config, folder) : config;
    const { pipeline } = await import('@xenova/transformers');
    const extractor = await pipeline('feature-extraction', local ? folder : config.model, {
      dtype: 'fp32',
      local_files_only: local,
      ...(config.revision !== undefined && { revision: config.revision }),
      ...(places.cache !== undefined && { cache_dir: places.cache }),
      session_options: { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 },
    });
    const id = `${config.model}/${pinned.sha256 ?? config.revision ?? ''}/${config.pooling}`;
    return new TransformerEncoder(pinned, extractor, await EmbeddingCache.open(id, config.dimensions, places.cache));
  }

  async encode(texts: readonly string[]): Promise<readonly Rows[]> {
    const fresh = [...new Set(texts)].filter((text) => this.#cache.get(text) === undefined);
    for (let start = 0; start < fresh.length; start += BATCH) {
      const batch = fresh.slice(start, start + BATCH);
      await this.#cache.add(batch, await this.#embed(batch));
    }
    const { dimensions } = this.config;
    const values = new Float32Array(texts.length * dimensions);
    texts.forEach((text, i) => values.set(this.#cache.get(text) ?? [], i * dimensions));
    return [
      {
        starts: Int32Array.from({ length: texts.length + 1 }, (_, i) => i * dimensions),
        indices: Int32Array.from({ length: values.length }, (_, i) => i % dimensions),
        values,
      },
    ];
  }

  async close(): Promise<void> {
    await this.#pipeline.dispose();
  }

  async #embed(texts: readonly string[]): Promise<readonly Float32Array[]> {
    const { pooling, dimensions, model } = this.config;
    const output = await this.#pipeline([...texts], { pooling, normalize: true });
    const width = output.dims.at(-1);
    const data: unknown = output.data;
    if (width !== dimensions || !(data instanceof Float32Array))
      throw new Error(`The encoder ${model} gives ${width ?? 0} numbers a text, not ${dimensions} as configured.`);
    return texts.map((_, i) => data.slice(i * dimensions, (i + 1) * dimensions));
  }
}

/** The configuration with the hash of the encoder's file. */
async function pin(config: TransformerConfig, folder: string): Promise<TransformerConfig> {
  const file = path.join(folder, 'onnx', 'model.onnx');
  const sha256 = createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
  if (config.sha256 !== undefined && config.sha256 !== sha256)
    throw new Error(
      `${file} has SHA-256 ${sha256}; the model was trained with ${config.sha256}. Bring that file back.`,
    );
  return { ...config, sha256 };
}
