import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { it } from 'node:test';
import type { TestContext } from 'node:test';
import type { LiveFigures } from '../../http/live.ts';
import { createServer } from '../../http/server.ts';
import type { ServerOptions } from '../../http/server.ts';

/** More than the operating system buffers for a connection that nobody reads. */
const HUGE = 'x'.repeat(8 * 1024 * 1024);
const figures = { at: 0, topics: {}, lags: [], runs: [{ run_id: HUGE }] } as unknown as LiveFigures;

/** A server with one viewer who reads nothing; `connection` is the server's end of it. */
async function watched(t: TestContext, live: () => LiveFigures) {
  const app = createServer({ tokens: [], live: () => Promise.resolve(live()) } as unknown as ServerOptions);
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const connected = once(app.server, 'connection');
  const silent = connect((app.server.address() as AddressInfo).port, '127.0.0.1').pause();
  silent.on('error', () => undefined); // it is cut off
  t.after(() => {
    silent.destroy();
    return app.close();
  });
  silent.write('GET /v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  return { app, url, connection: ((await connected) as [Socket])[0] };
}

it('disconnects a viewer that stops reading, and no other', { timeout: 120_000 }, async (t) => {
  let connected: boolean | undefined;
  const { url, connection } = await watched(t, () => {
    connected = !connection.destroyed;
    return figures;
  });
  let seen = 0;
  for await (const chunk of (await fetch(`${url}/v1/live`)).body ?? []) {
    seen +=
      Buffer.from(chunk as Uint8Array)
        .toString()
        .split('\n\n').length - 1;
    if (seen === 5) break;
  }
  assert.equal(connected, false, 'readings of 8 MiB are buffered for a viewer that reads none');
});

it(
  'tells viewers that a server is away while a reading hangs, starts no other, and continues when it arrives',
  { timeout: 60_000 },
  async (t) => {
    let begun = 0;
    let come: (now: LiveFigures) => void = () => undefined;
    const live = () => {
      begun++;
      return new Promise<LiveFigures>((resolve) => (come = resolve));
    };
    const app = createServer({ tokens: [], live } as unknown as ServerOptions);
    t.after(() => app.close());
    const url = await app.listen({ port: 0, host: '127.0.0.1' });
    const seen: string[] = [];
    for await (const chunk of (await fetch(`${url}/v1/live`)).body ?? []) {
      seen.push(Buffer.from(chunk as Uint8Array).toString());
      if (seen.length === 2) break;
      assert.match(seen[0] ?? '', /^event: away/);
      setTimeout(() => come({ ...figures, runs: [] }), 2500);
    }
    assert.match(seen[1] ?? '', /^data: \{"at":0/);
    assert.equal(begun, 1);
  },
);

it('closes although a viewer does not read', { timeout: 60_000 }, async (t) => {
  let begun: () => void;
  const reading = new Promise<void>((resolve) => (begun = resolve));
  const { app } = await watched(t, () => {
    begun();
    return figures;
  });
  await reading;
  await app.close();
});
