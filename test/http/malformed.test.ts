import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { openFront } from '../../app/front.ts';
import { DrainingServer } from '../../http/draining-server.ts';
import { createServer } from '../../http/server.ts';
import type { ServerOptions } from '../../http/server.ts';

const HOST = 'Host: localhost\r\n';
const POST = `POST /v1/reviews HTTP/1.1\r\n${HOST}Content-Type: application/json\r\n`;

/** What a client sends, the status of the answer, and its sentence. */
const requests: Readonly<Record<string, readonly [string, number, RegExp]>> = {
  'an unknown method': [`FOO / HTTP/1.1\r\n${HOST}\r\n`, 400, /^The request is not valid HTTP: Invalid method/],
  'a path that is not ASCII': [`GET /é HTTP/1.1\r\n${HOST}\r\n`, 400, /^The request is not valid HTTP: /],
  'no Host': ['GET /healthz HTTP/1.1\r\n\r\n', 400, /has no header Host/],
  'two lengths': [`${POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n`, 400, /Content-Length/],
  'a bad chunk': [`${POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 400, /chunk size/],
  'half a chunk': [`${POST}Transfer-Encoding: chunked\r\n\r\n5\r\n{`, 400, /not valid HTTP/],
  'half a body': [`${POST}Content-Length: 5\r\n\r\n{`, 400, /not valid HTTP/],
  'long chunk extensions': [`${POST}Transfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(20_000)}`, 413, /chunks/],
  'long headers': [`GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(20_000)}\r\n\r\n`, 431, /more than 16384 bytes/],
  'an expectation': [`GET /healthz HTTP/1.1\r\n${HOST}Expect: x\r\n\r\n`, 417, /does not support Expect: x;/],
};

const server = () => createServer({ tokens: [] } as unknown as ServerOptions);
/** Both ways to listen: as one application, and as `samvad up` does, in front of several. */
const listening = {
  'an application': async () => {
    const app = server();
    return { url: await app.listen({ port: 0, host: '127.0.0.1' }), close: () => app.close() };
  },
  'a front': () => openFront({ host: '127.0.0.1', port: 0, variable: 'SAMVAD_HTTP_PORT' }, server()),
};

for (const [what, listen] of Object.entries(listening))
  describe(`${what} answers with problem details`, () => {
    let listener: Awaited<ReturnType<typeof listen>>;
    before(async () => {
      listener = await listen();
    });
    after(() => listener.close());

    /** The answer to `request`, after which the client sends no more. */
    async function ask(request: string): Promise<string> {
      const socket = connect(Number(new URL(listener.url).port), '127.0.0.1');
      await once(socket, 'connect');
      socket.end(request);
      return text(socket);
    }

    for (const [sent, [request, status, sentence]] of Object.entries(requests))
      it(`a request with ${sent}`, async () => {
        const [head = '', body = ''] = (await ask(request)).split('\r\n\r\n');
        assert.ok(head.startsWith(`HTTP/1.1 ${status} `), head);
        assert.match(head, /^content-type: application\/problem\+json; charset=utf-8\r?$/im);
        assert.match(head, /^connection: close\r?$/im);
        const problem = JSON.parse(/\{.*\}/.exec(body)?.[0] ?? '') as { type: string; status: number; detail: string };
        assert.deepEqual([problem.type, problem.status], ['about:blank', status]);
        assert.match(problem.detail, sentence);
        assert.match(problem.detail, /\.$/);
      });

    it('HTTP/1.0 without Host as before', async () => {
      assert.match(await ask('GET /healthz HTTP/1.0\r\n\r\n'), /only be reached under the names of this machine/);
    });
  });

it('adds nothing to an answer that has begun', { timeout: 10_000 }, async (t) => {
  const draining = new DrainingServer((_request, response) => void response.write('the first half'));
  t.after(() => {
    draining.close();
    draining.closeAllConnections();
  });
  draining.listen(0, '127.0.0.1');
  await once(draining, 'listening');
  const socket = connect((draining.address() as AddressInfo).port, '127.0.0.1');
  socket.write(`GET / HTTP/1.1\r\n${HOST}\r\n`);
  const [first] = (await once(socket, 'data')) as [Buffer];
  socket.write('FOO\r\n\r\n');
  assert.doesNotMatch(first.toString() + (await text(socket)), /400/);
});
