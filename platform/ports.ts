/** Free ports of the loopback address. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

// Below the range that Linux (32768), macOS and Windows (49152) use for outgoing connections, where a client could occupy the port at
// the next start.
const FIRST_PORT = 21_000;
const LAST_PORT = 31_999;

/** Whether a server could listen on this port of 127.0.0.1 now. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}

/** Different free ports of 127.0.0.1; fewer than `count` only when the machine has hardly any left. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const found = new Set<number>();
  for (let attempt = 0; found.size < count && attempt < 1_000; attempt += 1) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    if (await isPortFree(port)) found.add(port);
  }
  return [...found];
}
