import { readFileSync } from 'node:fs';
import path from 'node:path';

/** The version of this program, as manifests name it. */
export const codeVersion = (
  JSON.parse(readFileSync(path.join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string }
).version;
