/** One listening socket for successive applications: one that answers during the start, then the API. */
import type { FastifyInstance } from 'fastify';
import { DrainingServer } from '../http/draining-server.ts';
import { UsageError } from './terminal.ts';

/** A socket that listens. */
export interface Front {
  readonly url: string;
  /** Routes all requests from now on to `app`. */
  serve(app: FastifyInstance): Promise<void>;
  /** Answers the requests in progress, then closes. */
  close(): Promise<void>;
}

/** Where to listen. `variable` names the setting of the port, for messages. */
export interface ListenOn {
  readonly host: string;
  readonly port: number;
  readonly variable: string;
}

/** Listens, and routes requests to `first`. @throws UsageError when the port can't be used. */
export async function openFront({ host, port, variable }: ListenOn, first: FastifyInstance): Promise<Front> {
  const apps = [first];
  await first.ready();
  const server = new DrainingServer((request, response) => apps.at(-1)?.routing(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(refusal(error, { host, port, variable }));
    });
    server.listen({ host, port }, resolve);
  });
  const address = server.address();
  const actual = typeof address === 'object' && address ? address.port : port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${String(actual)}`,
    async serve(app) {
      await app.ready();
      apps.push(app);
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const app of apps) await app.close();
      await closed;
    },
  };
}

function refusal(error: NodeJS.ErrnoException, { host, port, variable }: ListenOn): Error {
  if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES') return error;
  const why = error.code === 'EADDRINUSE' ? 'is taken' : 'may not be used by this user';
  return new UsageError(`Port ${String(port)} on ${host} ${why}; set ${variable} to another one, 0 for any.`);
}
