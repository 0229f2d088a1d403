/** The HTTP server behind a socket, whoever listens. */
import { Server } from 'node:http';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { Socket } from 'node:net';

/** The longest that load balancers keep an idle connection is 60 s by custom; whoever closes first must be they. */
const KEEP_ALIVE_MS = 72_000;
/** How often a server that ends looks for connections to close. */
const SWEEP_MS = 50;

/**
 * A server that ends as soon as it has answered: from `close` on it closes connections that carry no request. Browsers open some
 * ahead, which Node does not count among the idle ones, and some fall idle after Node has looked: it waited a minute for requests
 * that never came.
 */
export class DrainingServer extends Server {
  readonly #unused = new Set<Socket>();

  constructor(listener: RequestListener) {
    super({ keepAliveTimeout: KEEP_ALIVE_MS }, listener);
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
