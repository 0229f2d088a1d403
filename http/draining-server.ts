/** An HTTP server that closes without waiting for idle connections, and explains what it can't read. */
import { Server } from 'node:http';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import { explainMalformed, withHost } from './malformed.ts';

/**
 * Load balancers usually keep idle connections for at most 60 s. They must be the ones to close, so the server waits
 * longer.
 */
const KEEP_ALIVE_MS = 72_000;
/** How often a closing server looks for connections to close. */
const SWEEP_MS = 50;

/**
 * A server whose `close` ends once every request is answered: while it closes, it also closes connections without a
 * request. Node would wait up to a minute for some of them: spare connections of browsers do not count as idle, and
 * others become idle only after its check.
 */
export class DrainingServer extends Server {
  readonly #unused = new Set<Socket>();

  constructor(listener: RequestListener) {
    super({ keepAliveTimeout: KEEP_ALIVE_MS, requireHostHeader: false }, withHost(listener));
    explainMalformed(this);
    this.on('connection', (socket: Socket) => {
      this.#unused.add(socket);
      socket.once('close', () => this.#unused.delete(socket));
    });
    this.on('request', ({ socket }: IncomingMessage) => this.#unused.delete(socket));
  }

  override close(callback?: (error?: Error) => void): this {
    const sweep = setInterval(() => {
      for (const socket of this.#unused) socket.destroy();
      this.closeIdleConnections();
    }, SWEEP_MS).unref();
    this.once('close', () => clearInterval(sweep));
    return super.close(callback);
  }
}
