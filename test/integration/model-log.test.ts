import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startComponents } from '../../app/components.ts';
import type { RunningComponents } from '../../app/components.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { blankStanding, nextVersion, register, rollBack, setTraffic } from '../../policy/model-log.ts';
import { librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { call, connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { digestTable, rebuildProjection } from '../../runtime/rebuild.ts';
import { modelDeployments } from '../../sinks/model-deployments.ts';
import { modelVersions } from '../../sinks/model-versions.ts';
import { topics } from '../../topology.ts';
import { openModelLog } from '../../trainer/model-log.ts';
import { endAll, startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const act = { by: 'test', reason: 'a test', at: Date.UTC(2026, 10, 1) };

describe('the model log on real servers', () => {
  let stack: Stack;
  let components: RunningComponents;
  before(async () => {
    stack = await startStack();
    components = await startComponents(['model-versions', 'model-deployments', 'training-samples'], stack.prepared);
  });
  after(() =>
    endAll(
      () => components.stop(),
      () => stack.stop(),
    ),
  );
  const open = () => openModelLog(stack.prepared.servers.kafka, stack.prepared.codecs);
  const rows = async (sql: string) => (await stack.prepared.pool.query<Record<string, unknown>>(sql)).rows;
  const caughtUp = async () => untilCaughtUp(stack.prepared.servers, stack.prepared.pool);

  it('lets writers append concurrently, each based on the log right before its event', async () => {
    const logs = await Promise.all([open(), open(), open()]);
    const next = (log: (typeof logs)[number]) =>
      log.append((now) => ({ models: register(now, nextVersion(now), blankStanding(act.at), act) }));
    for (let round = 0; round < 3; round++) await Promise.all(logs.map(next));
    const versions = (await Promise.all(logs.map((log) => log.read()))).map(({ models }) => [...models.keys()]);
    const expected = Array.from({ length: 10 }, (_, i) => `router-v1.${i}.0`);
    assert.deepEqual(versions, [expected, expected, expected]);
    await Promise.all(logs.map((log) => log.close()));
  });

  it('reads every event whose commit is decided, even before its marker is written', async (t) => {
    // Kafka answers a commit before its markers are written. An open transaction stands in for that moment.
    const { kafka } = stack.prepared.servers;
    const writer = await connectProducer({
      ...librdkafkaConfig(kafka, 'slow-writer'),
      'transactional.id': 'slow-writer',
    });
    const log = await open();
    t.after(() => Promise.all([log.close(), disconnect(writer)]));
    const [event] = register(await log.read(), 'router-v1.10.0', blankStanding(act.at), act);
    assert.ok(event);
    await call('beginning', (done) => writer.beginTransaction((error) => done(error, undefined)));
    const value = stack.prepared.codecs.of(topics.modelEvents).encode(event);
    writer.produce(topics.modelEvents.name, 0, value, event.version);
    await call('flushing', (done) => writer.flush(5000, (error) => done(error, undefined)));
    const reading = log.read();
    assert.equal(await Promise.race([reading, sleep(500, 'waits')]), 'waits');
    await call('committing', (done) => writer.commitTransaction(5000, (error) => done(error, undefined)));
    assert.ok((await reading).models.has('router-v1.10.0'));
  });

  it('fences a writer that was paused in the middle of a transaction', async () => {
    const { kafka } = stack.prepared.servers;
    const zombie = await connectProducer({
      ...librdkafkaConfig(kafka, 'zombie'),
      'transactional.id': 'samvad-model-log',
    });
    const log = await open();
    const [event] = register(await log.read(), 'router-v1.66.0', blankStanding(act.at), act);
    assert.ok(event);
    await call('beginning', (done) => zombie.beginTransaction((error) => done(error, undefined)));
    zombie.produce(
      topics.modelEvents.name,
      0,
      stack.prepared.codecs.of(topics.modelEvents).encode(event),
      event.version,
    );
    const after = await log.append((now) => ({ models: register(now, nextVersion(now), blankStanding(act.at), act) }));
    await assert.rejects(
      call('committing', (done) => zombie.commitTransaction(5000, (error) => done(error, undefined))),
    );
    await disconnect(zombie);
    assert.ok(after.models.has('router-v1.11.0'));
    assert.equal((await log.read()).models.has('router-v1.66.0'), false);
    await log.close();
  });

  it('has one version in production in the table while versions take over, and a rebuild gives the same rows', async () => {
    const log = await open();
    const change = (traffic: number, version: string) =>
      log.append((now) => ({ models: setTraffic(now, version, traffic, act) }));
    await change(10, 'router-v1.1.0');
    await change(100, 'router-v1.1.0');
    await change(100, 'router-v1.2.0');
    await log.append((now) => ({ models: rollBack(now, 'router-v1.2.0', act) }));
    await log.close();
    await caughtUp();
    assert.deepEqual(await rows("SELECT version, traffic_percentage FROM model_versions WHERE status = 'production'"), [
      { version: 'router-v1.1.0', traffic_percentage: 100 },
    ]);
    assert.deepEqual(
      (
        await rows('SELECT version, status, traffic_percentage AS traffic FROM model_deployments ORDER BY log_offset')
      ).map((row) => Object.values(row).join(' ')),
      [
        'router-v1.0.0 production 100',
        'router-v1.0.0 production 90',
        'router-v1.1.0 canary 10',
        'router-v1.0.0 retired 0',
        'router-v1.1.0 production 100',
        'router-v1.1.0 retired 0',
        'router-v1.2.0 production 100',
        'router-v1.2.0 rolled-back 0',
        'router-v1.1.0 production 100',
      ],
    );
    const { servers, codecs, pool } = stack.prepared;
    for (const projection of [modelVersions, modelDeployments]) {
      const digest = await digestTable(pool, projection);
      await rebuildProjection({
        projection,
        kafka: servers.kafka,
        codec: codecs.of(projection.topic),
        pool,
      });
      assert.equal(await digestTable(pool, projection), digest);
    }
    await assert.rejects(
      pool.query("UPDATE model_versions SET status = 'production' WHERE version = 'router-v1.3.0'"),
      /model_versions_one_production/,
    );
  });

  it('a record that Postgres refuses ends its projection with an error that names it', async () => {
    const { servers, codecs } = stack.prepared;
    const log = await open();
    const [event] = register(await log.read(), nextVersion(await log.read()), blankStanding(act.at), act);
    await log.close();
    assert.ok(event);
    await components.stop();
    const failing = await startComponents(['model-versions'], stack.prepared);
    const writer = await connectProducer(librdkafkaConfig(servers.kafka, 'foreign'));
    const value = codecs.of(topics.modelEvents).encode({ ...event, version: 'ghost-1' });
    writer.produce(topics.modelEvents.name, 0, value, 'ghost-1');
    await call('flushing', (done) => writer.flush(5000, (error) => done(error, undefined)));
    await disconnect(writer);
    const place = /^model-versions, rows from nlu\.model-events\/0@\d+: new row for relation/;
    const refused = (error: unknown) =>
      error instanceof Error && place.test(error.message) && 'code' in error && error.code === '23514';
    await assert.rejects(failing.failed, refused);
    await assert.rejects(failing.stop(), refused);
    const [projection, { kafka }] = [modelVersions, servers];
    const { pool } = stack.prepared;
    await assert.rejects(
      rebuildProjection({ projection, kafka, codec: codecs.of(projection.topic), pool }),
      /^error: model-versions, rows from nlu\.model-events: new row for relation/,
    );
  });
});
