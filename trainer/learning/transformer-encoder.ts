/** Any sentence encoder in ONNX (such as IndicBERT) through transformers.js. A text becomes one dense row. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { FeatureExtractionPipeline } from '@xenova/transformers';
import { reasonOf } from '../../runtime/reason.ts';
import { EmbeddingCache } from './embedding-cache.ts';
import type { Encoder, EncoderPlaces, Rows, View } from './encoder.ts';
import { fetchEncoder } from './hub.ts';

/** The encoder, and how its token vectors are pooled. */
export interface TransformerConfig {
  readonly kind: 'transformer';
  /**
   * A subfolder of the folder of encoders, with the files listed in `hub.ts`; or an id on the hub, to be downloaded
   * there.
   */
  readonly model: string;
  /** The commit on the hub. With a branch, the encoder could change unnoticed. */
  readonly revision?: string;
  /** SHA-256 of onnx/model.onnx. Training fills it in; serving refuses another file. */
  readonly sha256?: string;
  /** SHA-256 over config.json, tokenizer.json and tokenizer_config.json in this order. Training fills it in. */
  readonly settingsSha256?: string;
  readonly pooling: 'mean' | 'cls';
  /** The length of a vector. Training fills it in; another length is refused. */
  readonly dimensions?: number;
}

/** An encoder is missing or does not work. The message is a sentence for the person who configured it. */
export class EncoderError extends Error {
  override readonly name = 'EncoderError';
}

/** Texts per call of the encoder. */
const BATCH = 16;
/** Longer texts are cut to this many tokens, because the cost of attention grows with their square. */
const MAX_TOKENS = 512;
const WEIGHTS = 'onnx/model.onnx';
const SETTINGS = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];

/** A sentence encoder, with a cache if a folder is configured. */
export class TransformerEncoder implements Encoder {
  readonly config: TransformerConfig;
  readonly views: readonly View[];
  readonly #pipeline: FeatureExtractionPipeline;
  readonly #dimensions: number;
  readonly #cache: EmbeddingCache | undefined;

  private constructor(
    config: TransformerConfig,
    dimensions: number,
    pipeline: FeatureExtractionPipeline,
    cache: EmbeddingCache | undefined,
  ) {
    this.config = { ...config, dimensions };
    this.views = [{ name: 'embedding', width: dimensions }];
    this.#pipeline = pipeline;
    this.#dimensions = dimensions;
    this.#cache = cache;
  }

  /**
   * Loads the encoder.
   * @throws EncoderError when it is neither a local folder nor a pinned id on the hub, or its files differ from those
   * of the training.
   */
  static async load(config: TransformerConfig, places: EncoderPlaces): Promise<TransformerEncoder> {
    const { model, revision } = config;
    const models = path.resolve(places.models ?? 'models');
    const folder = path.join(models, revision === undefined ? model : `${model}@${revision}`);
    if (!folder.startsWith(models + path.sep))
      throw new EncoderError(`The encoder ${model} is not the name of a folder in ${models}.`);
    if (revision === undefined && !existsSync(folder))
      throw new EncoderError(
        `There is no encoder in ${folder}. Put config.json, tokenizer.json, tokenizer_config.json and onnx/model.onnx ` +
          'there, or have it fetched from the hub, as ID@COMMIT.',
      );
    return told(config, async () => {
      if (revision !== undefined) await fetchEncoder(model, revision, folder);
      const pinned = await pin(config, folder);
      const { pipeline } = await import('@xenova/transformers');
      const extractor = await pipeline('feature-extraction', folder, {
        dtype: 'fp32',
        local_files_only: true,
        session_options: { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 },
      });
      checkOutputs(extractor, config);
      limitLength(extractor);
      const dimensions = (await embed(extractor, config, ['a'])).width;
      const id = `${model}/${pinned.sha256}/${pinned.settingsSha256}/${config.pooling}`;
      const cache = places.cache === undefined ? undefined : await EmbeddingCache.open(id, dimensions, places.cache);
      return new TransformerEncoder(pinned, dimensions, extractor, cache);
    });
  }

  async encode(asked: readonly string[]): Promise<readonly Rows[]> {
    return told(this.config, async () => {
      const texts = asked.map((text) => text.normalize('NFC')); // as in data sets
      const known = new Map(texts.map((text) => [text, this.#cache?.get(text)]));
      const fresh = [...known].flatMap(([text, vector]) => (vector === undefined ? [text] : []));
      for (let start = 0; start < fresh.length; start += BATCH) {
        const batch = fresh.slice(start, start + BATCH);
        const { vectors } = await embed(this.#pipeline, this.config, batch);
        vectors.forEach((vector, i) => known.set(batch[i] ?? '', vector));
        await this.#cache?.add(batch, vectors);
      }
      const dimensions = this.#dimensions;
      const values = new Float32Array(texts.length * dimensions);
      texts.forEach((text, i) => values.set(known.get(text) ?? [], i * dimensions));
      return [
        {
          starts: Int32Array.from({ length: texts.length + 1 }, (_, i) => i * dimensions),
          indices: Int32Array.from({ length: values.length }, (_, i) => i % dimensions),
          values,
        },
      ];
    });
  }

  async close(): Promise<void> {
    await this.#pipeline.dispose();
  }
}

/** Outputs that hold token vectors, as transformers.js looks for them. */
const TOKEN_VECTORS = ['last_hidden_state', 'token_embeddings'];

function checkOutputs(pipeline: FeatureExtractionPipeline, { model }: TransformerConfig): void {
  const sessions = pipeline.model.sessions as Readonly<Record<string, { readonly outputNames?: readonly string[] }>>;
  const outputs = Object.values(sessions).flatMap(({ outputNames = [] }) => outputNames);
  if (!outputs.some((name) => TOKEN_VECTORS.includes(name)))
    throw new EncoderError(
      `The encoder ${model} has no output ${TOKEN_VECTORS.join(' or ')}, but ${outputs.join(', ')}; export it for feature extraction.`,
    );
}

/**
 * Sets the length limit of the tokenizer to the encoder's positions. Tokenizers without a limit, or with 1e30, would
 * not cut texts, and the encoder would fail.
 */
function limitLength({ tokenizer, model }: FeatureExtractionPipeline): void {
  const { model_type: type, max_position_embeddings: positions = MAX_TOKENS } = model.config as {
    readonly model_type?: string;
    readonly max_position_embeddings?: number;
  };
  // These models count positions from 2 (fairseq).
  const unused = /roberta|camembert|mpnet/.test(type ?? '') ? 2 : 0;
  const value = Math.min(Number(tokenizer.model_max_length), positions - unused, MAX_TOKENS);
  Object.defineProperty(tokenizer, 'model_max_length', { value });
}

/** One vector of length `width` per text. */
async function embed(
  pipeline: FeatureExtractionPipeline,
  { pooling, dimensions, model }: TransformerConfig,
  texts: readonly string[],
): Promise<{ readonly width: number; readonly vectors: readonly Float32Array[] }> {
  const output = await pipeline([...texts], { pooling, normalize: true });
  const width = output.dims.at(-1) ?? 0;
  const data: unknown = output.data;
  if (width === 0 || !(data instanceof Float32Array) || (dimensions !== undefined && width !== dimensions))
    throw new EncoderError(
      `The encoder ${model} gives ${width} numbers a text, not ${dimensions ?? 'a row of them'} as configured.`,
    );
  return { width, vectors: texts.map((_, i) => data.slice(i * width, (i + 1) * width)) };
}

/** Rethrows any error of `work` as an EncoderError that names the encoder. */
async function told<T>({ model }: TransformerConfig, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof EncoderError) throw cause;
    throw new EncoderError(`The encoder ${model} can't be used: ${reasonOf(cause)}.`, { cause });
  }
}

/** The configuration with the hashes of the encoder's files. @throws EncoderError when it has different ones. */
async function pin(config: TransformerConfig, folder: string) {
  const pinned = {
    ...config,
    sha256: await hashOf(folder, [WEIGHTS]),
    settingsSha256: await hashOf(folder, SETTINGS),
  };
  for (const [hash, files] of [
    ['sha256', WEIGHTS],
    ['settingsSha256', SETTINGS.join(', ')],
  ] as const)
    if (config[hash] !== undefined && config[hash] !== pinned[hash])
      throw new EncoderError(
        `${files} in ${folder}: the SHA-256 is ${pinned[hash]}, and the model was trained with ${config[hash]}. Bring back what it was trained with.`,
      );
  return pinned;
}

async function hashOf(folder: string, names: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const name of names) hash.update(await readFile(path.join(folder, name)));
  return hash.digest('hex');
}
