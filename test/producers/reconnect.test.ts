import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import rdkafka from 'node-rdkafka';
import { createConversationProducer, NotPermitted, RecordTooLarge } from '../../producers/conversation-producer.ts';
import { reportedError } from '../../runtime/rdkafka.ts';
import { sentConversation } from '../fixtures.ts';
import { FakeClient } from './fake-client.ts';

const { ERR__FATAL, ERR__PURGE_QUEUE, ERR_MSG_SIZE_TOO_LARGE } = rdkafka.CODES.ERRORS;

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 30_000; !condition(); await sleep(10)) assert.ok(Date.now() < deadline, what);
}

const { Producer } = rdkafka;
const registry = createServer(({ url }, response) => {
  response.setHeader('content-type', 'application/json').end(url?.includes('/versions') === true ? '[]' : '{"id":1}');
});
let schemaRegistryUrl: string;
before(async () => {
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
  schemaRegistryUrl = `http://127.0.0.1:${(registry.address() as AddressInfo).port}`;
  Object.assign(rdkafka, { Producer: FakeClient });
});
beforeEach(() => FakeClient.reset());
after(() => {
  Object.assign(rdkafka, { Producer });
  registry.close();
});

/** A producer on fake clients, with a spool of its own. `close` ends both. */
async function startProducer(deliveryTimeoutMs = 60_000) {
  const spoolFolder = await mkdtemp(path.join(os.tmpdir(), 'samvad-reconnect-'));
  const producer = await createConversationProducer({
    ...{ kafka: { brokers: '127.0.0.1:9' }, schemaRegistryUrl, spoolFolder, deliveryTimeoutMs },
  });
  return {
    producer,
    spoolFolder,
    send: (id: string) => producer.captureConversation({ ...sentConversation(id), nlu_provider: 'indicbert' }),
    close: async () => {
      await producer.close();
      await rm(spoolFolder, { recursive: true });
    },
  };
}

describe('after a fatal error of the client', { timeout: 120_000 }, () => {
  const ways = {
    'it purges its queue': ERR__PURGE_QUEUE,
    'the report of a record is fatal': ERR__FATAL,
  };
  for (const [way, code] of Object.entries(ways))
    it(`waiting records go to the spool, and a new client sends the next one and the spool: ${way}`, async (t) => {
      const { producer, send, close } = await startProducer();
      t.after(close);
      const waiting = ['a', 'b'].map(send);
      await until('both are on their way', () => FakeClient.made[0]?.held.length === 2);
      const [broken] = FakeClient.made;
      assert.ok(broken);
      broken.report(reportedError(code), broken.held[0] ?? 0);
      assert.deepEqual(await Promise.all(waiting), [
        { conversation_id: 'a', stored: 'spool' },
        { conversation_id: 'b', stored: 'spool' },
      ]);
      await until('there is another client', () => FakeClient.made.length === 2 && producer.stats().connected);
      // A late report of the broken client is about a record that was given up.
      broken.report(reportedError(ERR__PURGE_QUEUE), broken.held[1] ?? 0);
      assert.deepEqual(await send('c'), { conversation_id: 'c', stored: 'kafka' });
      await until('the spool was sent on', () => producer.stats().spoolBytes === 0);
      const { acknowledged, spooled, drained } = producer.stats();
      assert.deepEqual({ acknowledged, spooled, drained }, { acknowledged: 1, spooled: 2, drained: 2 });
      assert.equal(FakeClient.made.length, 2);
      assert.ok(broken.closed);
    });
});

describe('a record that the broker refuses for its size', { timeout: 120_000 }, () => {
  it('is refused, and the next one is sent', async (t) => {
    const { send, close } = await startProducer();
    t.after(close);
    const refused = assert.rejects(send('large'), RecordTooLarge);
    await until('it is on its way', () => FakeClient.made[0]?.held.length === 1);
    const [client] = FakeClient.made;
    client?.report(reportedError(ERR_MSG_SIZE_TOO_LARGE), client.held.shift() ?? 0);
    await refused;
    if (client) client.answering = true;
    assert.equal((await send('small')).stored, 'kafka');
  });
});

describe('a record that is not acknowledged while others are', { timeout: 120_000 }, () => {
  it('goes to the spool, and the next ones to Kafka at once', async (t) => {
    FakeClient.silent.add('nlu.erasures');
    const { producer, send, close } = await startProducer(50);
    t.after(async () => {
      FakeClient.silent.clear();
      await until('the spool was sent on', () => producer.stats().spoolBytes === 0);
      await close();
    });
    await until('it is connected', () => producer.stats().connected);
    for (const client of FakeClient.made) client.answering = true;
    const erasure = producer.requestErasure({ conversation_id: 'a', requested_by: 'crm', reason: 'case 17' });
    assert.equal((await send('b')).stored, 'kafka');
    assert.equal((await erasure).stored, 'spool');
    assert.equal((await send('c')).stored, 'kafka');
    await sleep(1500); // the erasure is tried again meanwhile, which fails after a second
    assert.equal((await send('d')).stored, 'kafka');
  });
});

describe('a client whose user may write to no topic', { timeout: 120_000 }, () => {
  it('refuses waiting and new records, and spools none of them', async (t) => {
    FakeClient.barred = true;
    const { producer, send, close } = await startProducer();
    t.after(close);
    await until('it is connected', () => producer.stats().connected);
    await Promise.all(['a', 'b'].map((id) => assert.rejects(send(id), NotPermitted)));
    await assert.rejects(send('c'), NotPermitted);
    assert.equal(producer.stats().spooled, 0);
  });
});

describe('where neither Kafka nor the disk takes a record', { timeout: 120_000 }, () => {
  it('one record at a time tries Kafka, and all go there as soon as it answers', async (t) => {
    const { producer, spoolFolder, send, close } = await startProducer(50);
    const own = path.join(spoolFolder, (await readdir(spoolFolder)).find((name) => name !== 'held') ?? '');
    await rm(own, { recursive: true });
    await writeFile(own, 'in the way');
    t.after(async () => {
      await rm(own);
      await close();
    });
    await until('it is connected', () => producer.stats().connected);
    await assert.rejects(send('a'), /can't be written/); // a time-out shows that Kafka does not answer
    const asking = assert.rejects(send('b'), /can't be written/);
    await assert.rejects(send('c'), /can't be written/);
    assert.equal(producer.stats().inFlight, 1);
    await asking;
    for (const client of FakeClient.made) client.answering = true;
    for (const id of ['d', 'e']) assert.deepEqual(await send(id), { conversation_id: id, stored: 'kafka' });
    assert.equal(producer.stats().acknowledged, 2);
  });
});
