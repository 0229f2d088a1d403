import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { readConfig } from '../../config.ts';
import { Transient } from '../../runtime/rdkafka.ts';
import { executeInProcess } from '../../trainer/run-process.ts';

describe('a run in a process of its own', { timeout: 180_000 }, () => {
  let registry: Server | undefined;
  afterEach(() => registry?.close());

  /** Executes a run with a registry that answers registrations with `status` and `message`; resolves to the error of the run. */
  async function refusedBy(status: number, message: string): Promise<unknown> {
    registry = createServer(({ method = '', url = '' }, response) => {
      const [code, body] =
        method === 'POST' && url.endsWith('/versions')
          ? [status, { error_code: status, message }]
          : method === 'POST'
            ? [404, { error_code: 40401, message: 'Subject not found.' }]
            : [200, url.includes('/versions') ? [] : { compatibilityLevel: 'FULL_TRANSITIVE' }];
      response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => registry?.listen(0, '127.0.0.1', resolve));
    const schemaRegistryUrl = `http://127.0.0.1:${String((registry.address() as AddressInfo).port)}`;
    const servers = { kafka: { brokers: '127.0.0.1:9' }, schemaRegistryUrl };
    const { training } = readConfig({ SAMVAD_HOME: '/nowhere' });
    const order = { id: 'default-1', servers, training, dataSets: '/nowhere/data-sets', trainer: 'test' };
    return executeInProcess(order, new AbortController().signal).catch((error: unknown) => error);
  }

  it('ends the trainer when it reports a permanent failure', async () => {
    const error = await refusedBy(409, 'The schema is incompatible.');
    assert.ok(error instanceof Error && !(error instanceof Transient), String(error));
    assert.match(error.message, /The registry refuses SampleEvent/);
  });

  it('is tried again after it reports a temporary failure', async () => {
    const error = await refusedBy(503, 'It is away.');
    assert.ok(error instanceof Transient, String(error));
  });
});
