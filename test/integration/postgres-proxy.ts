/** A proxy between a client and Postgres that can cause faults. */
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';

/** Passes on data from either side, or drops it. */
export type Between = (client: net.Socket, server: net.Socket) => void;

/** Listens in front of the Postgres at `databaseUrl`; `between` gets each connection. */
export async function startPostgresProxy(
  databaseUrl: string,
  between: Between,
): Promise<{ readonly url: string; stop(): Promise<unknown> }> {
  const { hostname, port } = new URL(databaseUrl);
  const open = new Set<net.Socket>();
  const proxy = net.createServer((client) => {
    const server = net.connect(Number(port), hostname);
    open.add(client);
    client.on('close', () => open.delete(client));
    for (const [one, other] of [
      [server, client],
      [client, server],
    ] as const) {
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
    }
    between(client, server);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const url = new URL(databaseUrl);
  url.port = String((proxy.address() as AddressInfo).port);
  return {
    url: url.href,
    stop() {
      for (const client of open) client.destroy();
      return once(proxy.close(), 'close');
    },
  };
}
