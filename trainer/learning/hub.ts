/**
 * Downloads sentence encoders from the hub at a pinned commit. transformers.js would also look at the branch `main`,
 * whatever revision it is given.
 */
import { randomUUID } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** The files of an encoder, with their paths on the hub. */
const FILES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'onnx/model.onnx'];

/** Downloads the encoder into `folder`, atomically, unless it exists. @throws when a file can't be downloaded. */
export async function fetchEncoder(model: string, revision: string, folder: string): Promise<void> {
  if (existsSync(folder)) return;
  const { env } = await import('@xenova/transformers');
  const draft = `${folder}.${randomUUID()}.draft`;
  try {
    for (const name of FILES) {
      const url = `${env.remoteHost}${model}/resolve/${revision}/${name}`;
      const response = await fetch(url);
      if (!response.ok || !response.body) throw new Error(`${url} answers ${response.status} ${response.statusText}`);
      const file = path.join(draft, name);
      await mkdir(path.dirname(file), { recursive: true });
      await pipeline(Readable.fromWeb(response.body), createWriteStream(file));
    }
    await rename(draft, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error; // otherwise another process was faster
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
