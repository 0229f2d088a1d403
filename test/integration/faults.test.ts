import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startComponents } from '../../app/components.ts';
import { artifactsOf } from '../../app/environment.ts';
import { startHttp } from '../../app/http.ts';
import { standBy } from '../../app/stand-by.ts';
import { whatIf } from '../../operations/what-if.ts';
import { blankStanding, register, setTraffic } from '../../policy/model-log.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { SpoolFull } from '../../producers/spool.ts';
import { keepToCluster } from '../../runtime/cluster.ts';
import { kafkajsClient, librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { call, connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { readTopic } from '../../runtime/read-topic.ts';
import { partitionOf } from '../../stream/partition.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { readPolicyInForce } from '../../trainer/adopted-policy.ts';
import { hashOf } from '../../trainer/artifacts.ts';
import { writeModel } from '../../trainer/learning/onnx-writer.ts';
import { train } from '../../trainer/learning/train.ts';
import { openModelLog } from '../../trainer/model-log.ts';
import { openCounts } from '../../trainer/sample-counts.ts';
import { review, sentConversation } from '../fixtures.ts';
import { quick, samples } from '../trainer/samples.ts';
import { deadLettersIn } from './letters.ts';
import { startReviewing } from './reviewing.ts';
import type { Reviewing } from './reviewing.ts';

describe('faults behind the API', { timeout: 600_000 }, () => {
  let reviewing: Reviewing | undefined;
  before(async () => {
    reviewing = await startReviewing();
  });
  after(() => reviewing?.stop());

  function started(): Reviewing {
    assert.ok(reviewing);
    return reviewing;
  }
  const rows = async (sql: string) => (await started().stack.prepared.pool.query<Record<string, unknown>>(sql)).rows;

  it('a data folder that was used with another cluster is refused', async () => {
    const { prepared } = started().stack;
    const kafka = kafkajsClient(prepared.servers.kafka, 'faults');
    const home = await mkdtemp(path.join(os.tmpdir(), 'samvad-cluster-'));
    const spool = path.join(home, 'spool');
    await mkdir(spool);
    await keepToCluster(kafka, home, spool);
    await keepToCluster(kafka, home, spool);
    await writeFile(path.join(spool, 'cluster-id'), 'another');
    await assert.rejects(keepToCluster(kafka, home, spool), { name: 'OtherCluster', message: /cluster another/ });
    const config = { ...prepared.config, home, http: { ...prepared.config.http, port: 0 } };
    const ground = standBy({ config, servers: prepared.servers, stop: () => Promise.resolve() });
    const http = await startHttp(ground, await startComponents([], ground));
    await assert.rejects(ground.openLog.done, { name: 'OtherCluster' });
    const response = await fetch(`${http.url}/v1/conversations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...sentConversation('astray'), nlu_provider: 'indicbert' }),
    });
    const { stored } = (await response.json()) as { readonly stored: unknown };
    assert.deepEqual(stored, { kafka: 0, spool: 1 }, 'a spool of one cluster is not sent to another');
    await http.stop();
    await ground.stop();
    await rm(home, { recursive: true });
    assert.match(await readFile(path.join(prepared.config.home, 'cluster-id'), 'utf8'), /^.{22}$/);
  });

  it('bad bytes in internal topics become a dead letter of each reader and stop none of them', async () => {
    const { stack, capture } = started();
    const { servers, codecs } = stack.prepared;
    const writer = await connectProducer(librdkafkaConfig(servers.kafka, 'faults'));
    const foreign = codecs.of(topics.reviews).encode(review({ conversation_id: 'foreign' }));
    for (const topic of [topics.routingDecisions, topics.reviewQueue, topics.trainingSamples]) {
      // Each in the partition of a good record, before it.
      writer.produce(topic.name, partitionOf('trusted', PARTITIONS), Buffer.from('{}'), 'bad');
      writer.produce(topic.name, partitionOf('doubtful', PARTITIONS), foreign, 'foreign');
    }
    await call('sending', (done) => writer.flush(30_000, (error) => done(error, undefined)));
    await disconnect(writer);
    await capture([
      { conversation_id: 'trusted', nlu_confidence: 0.97 },
      { conversation_id: 'doubtful', nlu_confidence: 0.5 },
    ]);
    const letters = (await deadLettersIn(stack.prepared)).map(({ component, code }) => `${component} ${code}`);
    assert.deepEqual(
      letters.sort(),
      [
        ...['conversation-logs', 'review-prioritizer', 'review-queue', 'sample-builder', 'sample-counter'],
        'training-samples',
      ].flatMap((reader) => [`${reader} bad-frame`, `${reader} unreadable-schema`]),
    );
    assert.deepEqual(
      await rows('SELECT conversation_id AS id, review_status AS status FROM conversation_logs ORDER BY 1'),
      [
        { id: 'doubtful', status: 'needs-review' },
        { id: 'trusted', status: 'auto-approved' },
      ],
    );
    assert.deepEqual(await rows('SELECT conversation_id AS id FROM review_queue'), [{ id: 'doubtful' }]);
    assert.deepEqual(await rows('SELECT conversation_id AS id FROM training_samples'), [{ id: 'trusted' }]);
  });

  it('answers may be sent again when only some were stored before the spool was full, and count once', async () => {
    const { stack, capture, caughtUp, producer, server } = started();
    const ids = ['full-0', 'full-1', 'full-2'];
    await capture(ids.map((conversation_id) => ({ conversation_id, nlu_confidence: 0.5 })));
    let sends = 0;
    const filling = server([], undefined, {
      ...producer,
      send: (event) => (++sends === 2 ? Promise.reject(new SpoolFull('The spool is full.', 7)) : producer.send(event)),
    });
    const answers = ids.map((conversation_id) => ({
      ...{ review_id: randomUUID(), conversation_id, verdict: 'approve', reviewed_at: '2026-10-05T12:00:00Z' },
    }));
    const payload = { reviewer: 'asha', session: 'asha', answers };
    const post = () => filling.inject({ method: 'POST', url: '/v1/review-queue/answers', payload });
    const refused = await post();
    assert.deepEqual([refused.statusCode, refused.headers['retry-after'], sends], [503, '7', 2]);
    assert.match(refused.body, /can safely be sent again/);
    await caughtUp();
    const reviewed = 'SELECT conversation_id AS id, count(*)::int AS n FROM conversation_reviews GROUP BY 1 ORDER BY 1';
    assert.deepEqual(await rows(reviewed), [{ id: 'full-0', n: 1 }]);
    assert.ok((await post()).statusCode < 300);
    await caughtUp();
    assert.deepEqual(
      await rows(reviewed),
      ids.map((id) => ({ id, n: 1 })),
    );
    const codec = stack.prepared.codecs.of(topics.conversationEvents);
    const inLog: string[] = [];
    for await (const { value } of readTopic(stack.prepared.servers.kafka, topics.conversationEvents.name)) {
      const event = value && codec.decode(value);
      if (event?.reviewed) inLog.push(event.conversation_id);
    }
    assert.deepEqual(inLog.sort(), ids);
    await filling.close();
  });

  it('a version whose file is missing scores the queue when the file arrives', async () => {
    const { stack, capture } = started();
    const { prepared } = stack;
    await capture([{ conversation_id: 'waits', nlu_confidence: 0.5 }]);
    const { classifier, views, encoder } = await train({ train: samples(12), dev: [], options: quick });
    const bytes = writeModel(classifier, views, { encoder, manifest: null, training: {} });
    const standing = { ...blankStanding(Date.now()), artifact_sha256: hashOf(bytes) };
    const act = { by: 'test', reason: 'to see the queue', at: Date.now() };
    const log = await openModelLog(prepared.servers.kafka, prepared.codecs);
    await log.append((now) => ({ models: register(now, 'router-v1.1.0', standing, act) }));
    await log.append((now) => ({ models: setTraffic(now, 'router-v1.1.0', 100, act) }));
    await log.close();
    const rescorer = await startComponents(['queue-rescorer'], prepared);
    const until = async (what: string, condition: () => Promise<boolean>) => {
      for (const deadline = Date.now() + 90_000; !(await condition()); await sleep(200))
        assert.ok(Date.now() < deadline, `${what}: ${JSON.stringify(rescorer.stats())}`);
    };
    try {
      await until('it looked', () => Promise.resolve((rescorer.stats()['queue-rescorer']?.['looks'] ?? 0) > 0));
      assert.deepEqual(await rows('SELECT * FROM queue_scores'), []);
      await artifactsOf(prepared.config).put(bytes);
      await until('all that waits is scored', async () => {
        const scored = 'SELECT FROM queue_scores s WHERE s.conversation_id = q.conversation_id';
        return (await rows(`SELECT FROM review_queue q WHERE NOT EXISTS (${scored})`)).length === 0;
      });
    } finally {
      await rescorer.stop();
    }
  });

  it('foreign records in the topics that services and commands read are left out by them', async () => {
    const { stack, caughtUp } = started();
    const { servers, codecs } = stack.prepared;
    const writer = await connectProducer(librdkafkaConfig(servers.kafka, 'faults'));
    const { modelEvents, trainingRuns, approvedSampleCounts, adoptedPolicies, deadLetters } = topics;
    for (const { name } of [modelEvents, trainingRuns, approvedSampleCounts, adoptedPolicies, deadLetters])
      writer.produce(name, 0, Buffer.from('{"a":1}'), 'foreign');
    const event = codecs.of(topics.conversationEvents).encode({
      ...{ conversation_id: 'foreign', captured: null, reviewed: null, erased: null, policy: null },
    });
    event[event.length - 1] = 0x7e; // a branch of a union that does not exist
    writer.produce(topics.conversationEvents.name, 0, event, 'foreign');
    await call('sending', (done) => writer.flush(30_000, (error) => done(error, undefined)));
    await disconnect(writer);
    await caughtUp();
    const log = await openModelLog(servers.kafka, codecs);
    assert.ok((await log.read()).models.size > 0);
    await log.close();
    const counts = await openCounts({ kafka: servers.kafka, codecs });
    await counts.read();
    await counts.close();
    assert.equal((await readPolicyInForce(servers.kafka, codecs)).version, defaultPolicy.version);
    const options = { policy: defaultPolicy, secondsPerAnswer: 20, examples: 1 };
    assert.ok((await whatIf(stack.prepared, options)).conversations > 0);
    const letters = (await deadLettersIn(stack.prepared)).filter(
      ({ topic }) => topic === topics.conversationEvents.name,
    );
    assert.ok(letters.some(({ component, code }) => component === 'confidence-router' && code === 'bad-avro'));
  });
});
