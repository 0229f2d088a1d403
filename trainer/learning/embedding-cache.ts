/** Caches embeddings on disk, so that each text goes through a large encoder only once, across training runs. */
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile, stat, truncate } from 'node:fs/promises';
import path from 'node:path';

const KEY_BYTES = 16;
/** A larger file is emptied: it is read into memory, and it contains texts that no data set has any more. */
const MAX_BYTES = 2 ** 30;

/** A map from texts to the embeddings of one encoder, stored in a file. */
export class EmbeddingCache {
  readonly #dimensions: number;
  readonly #file: string;
  readonly #known = new Map<string, Float32Array>();

  private constructor(dimensions: number, file: string) {
    this.#dimensions = dimensions;
    this.#file = file;
  }

  /** `encoderId` identifies the encoder. A record that a crash truncated is dropped. */
  static async open(encoderId: string, dimensions: number, folder: string): Promise<EmbeddingCache> {
    await mkdir(folder, { recursive: true });
    const name = createHash('sha256').update(`${encoderId}/${dimensions}`).digest('hex').slice(0, 32);
    const cache = new EmbeddingCache(dimensions, path.join(folder, `${name}.embeddings`));
    await cache.#read();
    return cache;
  }

  get(text: string): Float32Array | undefined {
    return this.#known.get(keyOf(text));
  }

  /** Stores the embeddings of `texts`, in order. */
  async add(texts: readonly string[], embeddings: readonly Float32Array[]): Promise<void> {
    const records = texts.map((text, i) => {
      const [key, embedding] = [keyOf(text), embeddings[i] ?? new Float32Array(this.#dimensions)];
      this.#known.set(key, embedding);
      return Buffer.concat([
        Buffer.from(key, 'hex'),
        Buffer.from(embedding.buffer, embedding.byteOffset, embedding.byteLength),
      ]);
    });
    if (records.length > 0) await appendFile(this.#file, Buffer.concat(records));
  }

  async #read(): Promise<void> {
    const file = this.#file;
    await appendFile(file, ''); // creates the file if needed
    if ((await stat(file)).size > MAX_BYTES) await truncate(file);
    const bytes = await readFile(file);
    const size = KEY_BYTES + 4 * this.#dimensions;
    const whole = bytes.length - (bytes.length % size);
    for (let at = 0; at < whole; at += size) {
      const key = bytes.subarray(at, at + KEY_BYTES).toString('hex');
      const embedding = new Float32Array(Uint8Array.from(bytes.subarray(at + KEY_BYTES, at + size)).buffer);
      this.#known.set(key, embedding);
    }
    if (whole < bytes.length) await truncate(file, whole);
  }
}

function keyOf(text: string): string {
  return createHash('sha256')
    .update(text.normalize('NFC'))
    .digest('hex')
    .slice(0, 2 * KEY_BYTES);
}
