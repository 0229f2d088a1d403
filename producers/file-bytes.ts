/** Reads files that may be compressed. */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';

/** The bytes of a file, uncompressed if its name ends in `.gz`. An error of the file or of its compression is thrown where they are read. */
export function bytesOfFile(file: string): AsyncIterable<Uint8Array> {
  const bytes = createReadStream(file);
  // `pipe` would not forward errors of the file, and `compose` would throw some of them where nobody can catch them.
  return file.endsWith('.gz') ? pipeline(bytes, createGunzip(), () => undefined) : bytes;
}
