import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import rdkafka from 'node-rdkafka';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import { Drain } from '../../producers/drain.ts';
import type { WaitingRoom } from '../../producers/drain.ts';
import { openHeld } from '../../producers/held.ts';
import type { EventKind, ProducedEvent } from '../../producers/inputs.ts';
import { NotPermitted } from '../../producers/kafka-link.ts';
import { openSpool, SpoolFull } from '../../producers/spool.ts';
import { conversation } from '../fixtures.ts';
import { FakeClient } from './fake-client.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-held-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const said = (id: string): ProducedEvent => ({ kind: 'conversation', record: conversation({ conversation_id: id }) });
const erasure = (id: string): ProducedEvent => ({
  kind: 'erasure',
  record: { conversation_id: id, requested_by: 'crm', requested_at: 1, reason: 'case 17' },
});

/** Kafka for a user who may not write conversations until the right is `granted`. */
function kafkaWithoutConversations() {
  const taken: string[] = [];
  const kafka = {
    taken,
    granted: false,
    connected: true,
    healthy: true,
    refuses: (kind: EventKind) => kind === 'conversation' && !kafka.granted,
    async deliver({ kind, record }: ProducedEvent): Promise<void> {
      await sleep(2);
      if (kafka.refuses(kind)) throw new NotPermitted(kind);
      taken.push(`${kind} ${record.conversation_id}`);
    },
  };
  return kafka;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !condition(); await sleep(10)) assert.ok(Date.now() < deadline, what);
}

describe('an erasure request while conversations wait for a right', { timeout: 60_000 }, () => {
  it('waits behind conversations that Kafka refuses from the same spool', async () => {
    const kafka = kafkaWithoutConversations();
    const spool = await openSpool({ folder, maxBytes: 1e6 });
    for (const one of [said('c-1'), erasure('c-1')]) await spool.append(one);
    const held = await openHeld({ folder, maxBytes: 1e6 }, kafka);
    await new Drain(spool, kafka, undefined, { room: held }).finish(10_000);
    await sleep(300); // the drain of the erasures would have sent it
    assert.deepEqual(kafka.taken, []);
    assert.equal(held.refusal('erasure'), undefined);
    kafka.granted = true;
    await until('all was sent on', () => held.bytes === 0);
    assert.deepEqual(kafka.taken, ['conversation c-1', 'erasure c-1']);
    await held.close();
    await spool.close();
    assert.deepEqual(await readdir(folder), []);
  });

  it('waits behind conversations that an earlier process has left, also when it was left with them', async () => {
    for (const one of [said('c-1'), erasure('c-1')]) {
      await mkdir(path.join(folder, 'held', one.kind), { recursive: true });
      const left = await openSpool({ folder: path.join(folder, 'held', one.kind), maxBytes: 1e6 });
      await left.append(one);
      await left.close();
    }
    const kafka = kafkaWithoutConversations();
    const spool = await openSpool({ folder, maxBytes: 1e6 });
    const held = await openHeld({ folder, maxBytes: 1e6 }, kafka);
    await spool.append(erasure('c-2'));
    await new Drain(spool, kafka, undefined, { room: held }).finish(10_000);
    await sleep(300);
    assert.deepEqual(kafka.taken, []);
    kafka.granted = true;
    await until('all was sent on', () => held.bytes === 0);
    assert.deepEqual(kafka.taken, ['conversation c-1', 'erasure c-1', 'erasure c-2']);
    await held.close();
    await spool.close();
  });

  it('goes to the spool and not to Kafka at once', async (t) => {
    const { Producer } = rdkafka;
    FakeClient.reset();
    Object.assign(rdkafka, { Producer: FakeClient });
    const registry = createServer(({ url }, response) => {
      response
        .setHeader('content-type', 'application/json')
        .end(url?.includes('/versions') === true ? '[]' : '{"id":1}');
    });
    await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      Object.assign(rdkafka, { Producer });
      registry.close();
    });
    await mkdir(path.join(folder, 'held', 'conversation'), { recursive: true });
    const left = await openSpool({ folder: path.join(folder, 'held', 'conversation'), maxBytes: 1e6 });
    await left.append(said('c-1'));
    await left.close();
    FakeClient.forbidden.add('nlu.conversations');
    const producer = await createConversationProducer({
      kafka: { brokers: '127.0.0.1:9' },
      schemaRegistryUrl: `http://127.0.0.1:${(registry.address() as AddressInfo).port}`,
      spoolFolder: folder,
    });
    await until('it is connected', () => producer.stats().connected);
    for (const client of FakeClient.made) client.answering = true;
    const { stored } = await producer.requestErasure({
      conversation_id: 'c-1',
      requested_by: 'crm',
      reason: 'case 17',
    });
    assert.deepEqual([stored, FakeClient.taken], ['spool', []]);
    await sleep(300);
    assert.deepEqual(FakeClient.taken, []);
    FakeClient.forbidden.clear();
    await until('all was sent on', () => producer.stats().spoolBytes === 0);
    assert.deepEqual(FakeClient.taken, ['nlu.conversations c-1', 'nlu.erasures c-1']);
    await producer.close();
  });
});

describe("a waiting room that can't be written", { timeout: 60_000 }, () => {
  for (const [when, ahead] of Object.entries({ 'others wait there': true, 'Kafka has refused the record': false }))
    it(`is tried again where ${when}, and sets nothing aside`, async () => {
      const kafka = kafkaWithoutConversations();
      const moved: string[] = [];
      let failures = 2;
      const room: WaitingRoom = {
        isAheadOf: () => ahead,
        append({ record }) {
          if (failures-- > 0) return Promise.reject(new Error("The spool can't be written: EROFS."));
          moved.push(record.conversation_id);
          return Promise.resolve();
        },
      };
      const spool = await openSpool({ folder, maxBytes: 1e6 });
      await spool.append(said('c-1'));
      const drain = new Drain(spool, kafka, undefined, { room });
      await drain.finish(10_000);
      assert.deepEqual([moved, drain.counts()], [['c-1'], { drained: 0, setAside: 0 }]);
      await spool.close();
      assert.deepEqual(await readdir(folder), []);
    });

  it('does not cause other records to be sent again and again', async () => {
    const kafka = kafkaWithoutConversations();
    let tries = 0;
    const room: WaitingRoom = {
      isAheadOf: (kind) => kind === 'conversation',
      append: () => (++tries < 5 ? Promise.reject(new SpoolFull('Full.', 30)) : Promise.resolve()),
    };
    const spool = await openSpool({ folder, maxBytes: 1e7 });
    const reviews = Array.from(
      { length: 300 },
      (_, i) => ({ ...erasure(`r-${String(i)}`), kind: 'review' }) as ProducedEvent,
    );
    for (const one of [...reviews.slice(0, 150), said('c-1'), ...reviews.slice(150)]) await spool.append(one);
    await new Drain(spool, kafka, undefined, { room }).finish(50_000);
    assert.equal(new Set(kafka.taken).size, 300);
    assert.ok(kafka.taken.length < 800, `${String(kafka.taken.length)} deliveries of 300 reviews`);
    await spool.close();
  });
});
