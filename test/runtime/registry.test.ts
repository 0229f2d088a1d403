import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import { openCodecs, RegistryUnavailable } from '../../runtime/schema-registry.ts';
import { Poison } from '../../stream/poison.ts';
import { schemas } from '../../schemas/types.ts';
import { topics } from '../../topology.ts';

/** A registry with one schema, behind something that returns 404 and `answer` for any other request. */
async function behind(answer: string): Promise<{ readonly url: string; readonly close: () => void }> {
  const server = createServer((request, response) => {
    const known = request.method === 'POST' && request.url?.startsWith('/subjects/');
    if (known === true) return void response.setHeader('content-type', 'application/json').end('{"id":1}');
    if (request.url?.includes('/versions') === true)
      return void response.setHeader('content-type', 'application/json').end('[]');
    response.writeHead(404, { 'content-type': answer.startsWith('{') ? 'application/json' : 'text/html' }).end(answer);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

const framed = Buffer.from([0, 0, 0, 0, 7, 2]);

it('a user with read-only access starts when the schemas are registered, and gets a clear error when they are not', async (t) => {
  for (const [status, body] of [
    [401, '{"error_code":40101,"message":"User cannot access the resource."}'],
    [403, '{"error_code":40301,"message":"User is denied operation Write on Subject."}'],
    [422, '{"error_code":42205,"message":"Subject is in read-only mode"}'],
  ] as const) {
    for (const known of [true, false]) {
      const server = createServer(({ method, url }, response) => {
        response.setHeader('content-type', 'application/json');
        if (method === 'PUT') response.writeHead(status).end(body);
        else if (url?.includes('/versions') === true) response.end('[]');
        else if (known) response.end('{"id":1}');
        else response.writeHead(404).end('{"error_code":40401,"message":"Subject not found"}');
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.after(() => server.close());
      const starting = openCodecs(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, [topics.conversations]);
      if (known) await starting;
      else await assert.rejects(starting, new RegExp(`answered ${status} for nlu.conversations-value: .*message`));
    }
  }
});

it('a record whose schema the registry does not know is poison, but a 404 from a proxy means that the registry is away', async () => {
  const registry = await behind('{"error_code":40403,"message":"Schema not found"}');
  const codec = (await openCodecs(registry.url, [topics.conversations])).of(topics.conversations);
  await codec.prepare([framed]);
  assert.throws(
    () => codec.decode(framed),
    (error) => error instanceof Poison && error.code === 'unknown-schema',
  );
  registry.close();

  for (const answer of ['<h1>404 Not Found</h1>', '{"message":"no route"}', 'null']) {
    const proxy = await behind(answer);
    const waiting = (await openCodecs(proxy.url, [topics.conversations])).of(topics.conversations);
    await assert.rejects(waiting.prepare([framed]), RegistryUnavailable, answer);
    proxy.close();
  }
});

it('a version that was deleted at the registry can still be read', async (t) => {
  const older = JSON.parse(schemas.IntakeEntry) as { fields: { name: string }[] };
  const schema = JSON.stringify({ ...older, fields: older.fields.filter(({ name }) => name !== 'erased_at') });
  const deleted = new Map([
    ['/subjects/nlu.intake-ledger-value/versions?deleted=true', [1]],
    ['/subjects/nlu.intake-ledger-value/versions/1?deleted=true', { id: 7, schema }],
  ] as const) as ReadonlyMap<string | undefined, object>;
  const server = createServer(({ method, url }, response) => {
    const answer = method === 'GET' ? (deleted.get(url) ?? []) : { id: 1 };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const codec = (await openCodecs(url, [topics.intakeLedger])).of(topics.intakeLedger);
  const entry = Buffer.from([0, 0, 0, 0, 7, 0, 0, 0, 0]); // no digest, no reviews, none parked, no policy
  assert.equal(codec.decode(entry).captured_digest, null);
});
