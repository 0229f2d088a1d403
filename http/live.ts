/** Live figures: read every two seconds while there are viewers, and sent to all of them (server-sent events). */
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { within } from '../runtime/within.ts';
import { shared } from './shared.ts';

/** The figures at one moment. */
export interface LiveFigures {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Name → sum of the ends of its partitions, including transaction markers. */
  readonly topics: Readonly<Record<string, number>>;
  /** The positions of components; `ahead` counts records that a component has processed and the topic has lost. */
  readonly lags: readonly {
    readonly component: string;
    readonly topic: string;
    readonly end: number;
    readonly lag: number;
    readonly ahead: number;
  }[];
  readonly totals: { readonly conversations: number; readonly waiting: number; readonly samples: number };
  /** The waiting conversations: number per class (1 first), and time of the oldest, RFC 3339. */
  readonly queue: { readonly classes: Readonly<Record<string, number>>; readonly oldest: string | null };
  /** Training runs that have not ended. */
  readonly runs: readonly object[];
  /** Dead letters that were not sent again. */
  readonly dead_letters: number;
}

/** The dependencies of the route. */
export interface LiveDeps {
  readonly live: () => Promise<LiveFigures>;
}

const EVERY_MS = 2000;
/** How long a reading may take before viewers are told that a server does not answer. */
const READ_MS = 4000;
const MAX_VIEWERS = 100;
/** The most bytes buffered for one viewer; a message has a few kilobytes. */
const MAX_UNSENT_BYTES = 1024 * 1024;

/** Adds `GET /v1/live`. */
export function liveRoutes(app: FastifyInstance, { live }: LiveDeps): void {
  const viewers = new Set<PassThrough>();
  let running = false;
  let last: LiveFigures | undefined;
  let message: string | undefined;
  const reading = shared(live);

  function read(): Promise<LiveFigures> {
    return within(READ_MS, reading(), () => new Error(`The figures did not come within ${String(READ_MS / 1000)} s.`));
  }

  async function watch(): Promise<void> {
    if (running) return;
    running = true;
    for (; viewers.size > 0; await sleep(EVERY_MS)) {
      message = await read().then(
        (figures) => {
          const event = { ...figures, rates: last ? rates(last, figures) : {} };
          last = figures;
          return `data: ${JSON.stringify(event)}\n\n`;
        },
        () => 'event: away\ndata: {}\n\n',
      );
      for (const viewer of viewers) {
        // A slow viewer's messages wait in memory, so it is disconnected; a browser that is still open reconnects.
        if (viewer.writableLength > MAX_UNSENT_BYTES) viewer.destroy();
        else viewer.write(message);
      }
    }
    [running, last, message] = [false, undefined, undefined];
  }

  app.get(
    '/v1/live',
    {
      config: { role: 'read' },
      schema: { tags: ['read'], summary: 'Lags, rates and totals every two seconds, as server-sent events' },
    },
    (request, reply) => {
      const viewer = new PassThrough();
      viewer.on('close', () => viewers.delete(viewer));
      request.raw.on('close', () => viewer.destroy());
      if (viewers.size >= MAX_VIEWERS) viewer.end('retry: 60000\n\n');
      else {
        viewers.add(viewer);
        if (message !== undefined) viewer.write(message);
        void watch();
      }
      // A proxy that buffers responses would delay the events.
      return reply
        .type('text/event-stream')
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        .send(viewer);
    },
  );
  app.addHook('preClose', (done) => {
    // Destroyed, not ended: a viewer that does not read would never receive the end, and the server would wait for it.
    for (const viewer of viewers) viewer.destroy();
    viewers.clear();
    done();
  });
}

/** Records per second into each topic between two readings. */
function rates(before: LiveFigures, now: LiveFigures): Record<string, number> {
  const seconds = (now.at - before.at) / 1000;
  return Object.fromEntries(
    Object.entries(now.topics).map(([name, end]) => [
      name,
      seconds > 0 ? Math.max(0, (end - (before.topics[name] ?? end)) / seconds) : 0,
    ]),
  );
}
