import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import kafkajs from 'kafkajs';
import type { AclEntry, Admin } from 'kafkajs';
import { startComponents } from '../../app/components.ts';
import type { RunningComponents } from '../../app/components.ts';
import { prepare, producerOptions } from '../../app/environment.ts';
import type { Prepared } from '../../app/environment.ts';
import { startHttp } from '../../app/http.ts';
import { untilCaughtUp } from '../../app/lag.ts';
import { aclCommands, grantsOf, kafkaUsers } from '../../app/rights.ts';
import type { Grant } from '../../app/rights.ts';
import { standBy } from '../../app/stand-by.ts';
import { readConfig } from '../../config.ts';
import type { Config, Servers } from '../../config.ts';
import { kafkaBroker, kafkaLibraries } from '../../platform/kafka.ts';
import { startServer, stopServer } from '../../platform/lifecycle.ts';
import { thisProcess } from '../../platform/lock.ts';
import { startPlatform } from '../../platform/platform.ts';
import type { RunningPlatform } from '../../platform/platform.ts';
import type { Server } from '../../platform/server.ts';
import { readOrCreateState } from '../../platform/state.ts';
import { createConversationProducer } from '../../producers/conversation-producer.ts';
import type { ConversationProducer } from '../../producers/conversation-producer.ts';
import { openSpool } from '../../producers/spool.ts';
import { kafkajsClient } from '../../runtime/kafka-clients.ts';
import type { ProcessIdentity } from '../../runtime/process-identity.ts';
import { readTopic, topicEnds } from '../../runtime/read-topic.ts';
import { partitionOf } from '../../stream/partition.ts';
import type { Topic } from '../../stream/topic.ts';
import { PARTITIONS, topics } from '../../topology.ts';
import { conversation, review } from '../fixtures.ts';

// kafkajs is a CommonJS module whose named exports Node can't detect.
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs;

/** The user with all rights; the broker also uses it for its own connections. */
const ADMIN = 'admin';
const passwordOf = (user: string) => `${user}-secret`;

let home: string;
let broker: { readonly server: Server; readonly identity: ProcessIdentity } | undefined;
let platform: RunningPlatform | undefined;
let admin: Admin;
/** The settings that all users share: everything but the name and the password. */
let addresses: Record<string, string>;
let operator: Prepared;
/** The running components by name, each with clients of its own as if it were a process. */
const running = new Map<string, RunningComponents>();

/** Creates certificates of a private authority for a broker at 127.0.0.1. */
function makeCertificates(): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: home, stdio: 'pipe' });
  const key = ['-newkey', 'rsa:2048', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=Samvad test', '-days', '2');
  openssl('req', '-x509', ...key, '-keyout', 'other.key', '-out', 'other.pem', '-subj', '/CN=Another', '-days', '2');
  openssl('req', ...key, '-keyout', 'broker.key', '-out', 'broker.csr', '-subj', '/CN=broker', '-addext', SAN);
  const signed = ['-req', '-in', 'broker.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
  openssl('x509', ...signed, '-copy_extensions', 'copy', '-out', 'broker.pem');
}
const SAN = 'subjectAltName=IP:127.0.0.1';

/** A broker with TLS, passwords and access control for clients; what no entry grants is denied. */
function securedKafka(): Server {
  const users = [ADMIN, ...kafkaUsers.map(({ name }) => name)];
  return {
    ...kafkaBroker({
      format: users.flatMap((user) => ['--add-scram', `SCRAM-SHA-512=[name=${user},password=${passwordOf(user)}]`]),
      properties: ({ kafkaPort, kafkaControllerPort }) => `
listeners=SASL_SSL://127.0.0.1:${kafkaPort},CONTROLLER://127.0.0.1:${kafkaControllerPort}
advertised.listeners=SASL_SSL://127.0.0.1:${kafkaPort},CONTROLLER://127.0.0.1:${kafkaControllerPort}
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=${jaasOf(ADMIN)}
ssl.keystore.type=PEM
ssl.keystore.location=${path.join(home, 'keystore.pem')}
ssl.truststore.type=PEM
ssl.truststore.location=${path.join(home, 'ca.pem')}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:${ADMIN};User:ANONYMOUS
`, // ANONYMOUS is the user on the controller's listener
    }),
    async probe() {
      const asking = clientOf(ADMIN, { retry: { retries: 0 } }).admin();
      try {
        await asking.connect();
        assert.ok((await asking.describeCluster()).brokers.length > 0);
      } finally {
        await asking.disconnect();
      }
    },
  };
}

const jaasOf = (user: string) =>
  `org.apache.kafka.common.security.scram.ScramLoginModule required username="${user}" password="${passwordOf(user)}";`;

/** The configuration of a process that runs as `user`, through config.ts like any other. */
function configOf(user: string, changes: Readonly<Record<string, string | undefined>> = {}): Config {
  const own = { KAFKA_SASL_USERNAME: user, KAFKA_SASL_PASSWORD: passwordOf(user) };
  return { ...readConfig({ ...addresses, ...own, ...changes }), cache: readConfig().cache };
}

function serversOf({ kafka, schemaRegistryUrl, databaseUrl }: Config): Servers {
  assert.ok(kafka && schemaRegistryUrl !== undefined && databaseUrl !== undefined);
  return { kafka, schemaRegistryUrl, databaseUrl };
}

function environmentOf(user: string, changes: Readonly<Record<string, string | undefined>> = {}) {
  const config = configOf(user, changes);
  return { config, servers: serversOf(config), stop: () => Promise.resolve() };
}

const clientOf = (user: string, settings: Parameters<typeof kafkajsClient>[2] = {}) =>
  kafkajsClient(serversOf(configOf(user)).kafka, `test-${user}`, settings);

function entry(user: string, { resource, name, prefixed, operation }: Grant): AclEntry {
  return {
    principal: `User:${user}`,
    host: '*',
    resourceType: {
      topic: AclResourceTypes.TOPIC,
      group: AclResourceTypes.GROUP,
      'transactional-id': AclResourceTypes.TRANSACTIONAL_ID,
    }[resource],
    resourceName: name,
    resourcePatternType: prefixed ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
    operation: {
      Create: AclOperationTypes.CREATE,
      Describe: AclOperationTypes.DESCRIBE,
      DescribeConfigs: AclOperationTypes.DESCRIBE_CONFIGS,
      Read: AclOperationTypes.READ,
      Write: AclOperationTypes.WRITE,
    }[operation],
    permissionType: AclPermissionTypes.ALLOW,
  };
}

/** This user gets its rights through the printed commands, as a person would run them. */
const BY_TOOL = 'nlu-service';

async function grantByTool(cache: string): Promise<void> {
  const properties = path.join(home, 'admin.properties');
  await writeFile(
    properties,
    `security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=${jaasOf(ADMIN)}
ssl.truststore.type=PEM
ssl.truststore.location=${path.join(home, 'ca.pem')}
`,
  );
  const java = `java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$LIBRARIES/*" org.apache.kafka.tools.AclCommand`;
  const commands = kafkaUsers.filter(({ name }) => name === BY_TOOL).flatMap(aclCommands);
  await promisify(execFile)('bash', ['-ec', [`kafka-acls.sh() { ${java} "$@"; }`, ...commands].join('\n')], {
    env: {
      ...process.env,
      ...addresses,
      ADMIN_PROPERTIES: properties,
      LIBRARIES: await kafkaLibraries(cache, () => undefined),
    },
  });
}

/** Revokes one right of a user while `during` runs. */
async function without(user: string, grant: Grant, during: () => Promise<void>): Promise<void> {
  const taken = entry(user, grant);
  const { filterResponses } = await admin.deleteAcls({ filters: [taken] });
  assert.equal(filterResponses[0]?.matchingAcls.length, 1, `${user} has no such right`);
  try {
    await during();
  } finally {
    await admin.createAcls({ acl: [taken] });
  }
}

/** Waits for a value and returns it. */
async function until<T>(what: () => Promise<T | undefined> | T | undefined, why: () => string): Promise<T> {
  for (const deadline = Date.now() + 120_000; ; await sleep(100)) {
    const value = await what();
    if (value !== undefined) return value;
    assert.ok(Date.now() < deadline, why());
  }
}

const stateOf = (name: string) => running.get(name)?.states()[name] ?? 'It does not run.';

async function count(sql: string): Promise<number> {
  const { rows } = await operator.pool.query<{ count: string }>(sql);
  return Number(rows[0]?.count);
}

/** Sends conversations and answers as `user`; every second one waits for a person. */
async function send(user: string, ids: readonly string[], answered: readonly string[] = []): Promise<void> {
  const producer = await createConversationProducer({
    ...producerOptions({ ...operator, ...environmentOf(user) }),
    spoolFolder: path.join(home, 'spool', user),
    deliveryTimeoutMs: 60_000,
  });
  const today = Date.now(); // so that there are no earlier days for the scheduler to close
  try {
    for (const [i, id] of ids.entries()) {
      const record = conversation({
        conversation_id: id,
        nlu_confidence: i % 2 === 0 ? 0.95 : 0.75,
        created_at: today,
      });
      assert.equal((await producer.send({ kind: 'conversation', record })).stored, 'kafka');
    }
    for (const id of answered) {
      const record = review({ conversation_id: id, reviewed_at: today });
      assert.equal((await producer.send({ kind: 'review', record })).stored, 'kafka');
    }
  } finally {
    await producer.close();
  }
}

const LACKS_A_RIGHT = /authorization failed.*docs\/topics\.md#least-rights/i;
const refused = (name: string) =>
  until(
    () => (LACKS_A_RIGHT.test(stateOf(name)) ? true : undefined),
    () => `${name}: ${stateOf(name)}`,
  );

const hasRow = (id: string) => async () =>
  (await count(`SELECT count(*) FROM conversation_logs WHERE conversation_id = '${id}'`)) === 1 ? true : undefined;

before(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), 'samvad-secured-'));
  await chmod(home, 0o755); // Postgres may run as another user
  makeCertificates();
  execFileSync('sh', ['-c', 'cat broker.key broker.pem > keystore.pem'], { cwd: home });
  const state = await readOrCreateState(home);
  const { cache } = readConfig();
  addresses = {
    KAFKA_BROKERS: `127.0.0.1:${state.kafkaPort}`,
    KAFKA_TLS_CA_FILE: path.join(home, 'ca.pem'),
    SCHEMA_REGISTRY_URL: 'not yet',
    DATABASE_URL: 'not yet',
    SAMVAD_HOME: home,
    SAMVAD_LOG_LEVEL: 'silent',
    SAMVAD_REPORTS: path.join(home, 'reports'),
    SAMVAD_HTTP_PORT: '0',
  };
  const server = securedKafka();
  const context = { home, cache, state, progress: () => undefined };
  const others = new Set(['registry', 'postgres'] as const);
  const [started] = await Promise.all([
    startServer(server, context, await thisProcess(), (identity) => (broker = { server, identity })),
    startPlatform({ home, cache, servers: others, detached: false, progress: () => undefined }).then((p) => {
      platform = p;
      addresses['SCHEMA_REGISTRY_URL'] = p.addresses.schemaRegistryUrl ?? '';
      addresses['DATABASE_URL'] = p.addresses.databaseUrl ?? '';
    }),
  ]);
  broker = { server, identity: started.identity };
  admin = clientOf(ADMIN).admin();
  await admin.connect();
  const byClient = kafkaUsers.filter(({ name }) => name !== BY_TOOL);
  await admin.createAcls({ acl: byClient.flatMap((user) => grantsOf(user).map((grant) => entry(user.name, grant))) });
  [operator] = await Promise.all([prepare(environmentOf('operator')), grantByTool(cache)]);
});

after(async () => {
  await Promise.all([...running.values()].map((components) => components.stop()));
  await operator.stop();
  await admin.disconnect();
  await platform?.stop();
  if (broker) await stopServer(broker.server, broker.identity, home, () => undefined);
  await rm(home, { recursive: true, force: true });
});

test('every component runs as a user of its own, with the rights of the table and no more', async () => {
  const names = kafkaUsers.filter(({ name, group }) => name === group).map(({ name }) => name);
  for (const name of names) {
    const components = await startComponents([name], { ...operator, ...environmentOf(name) });
    running.set(name, components);
  }
  for (const name of names)
    await until(
      () => (stateOf(name) === 'ok' ? true : undefined),
      () => `${name}: ${stateOf(name)}`,
    );
  await send('nlu-service', ['a', 'b', 'c', 'd'], ['b']);
  await untilCaughtUp(operator.servers, operator.pool);
  assert.equal(await count('SELECT count(*) FROM conversation_logs'), 4);
  assert.equal(await count('SELECT count(*) FROM training_queue'), 1);
  assert.equal(await count('SELECT count(*) FROM training_samples'), 3);
  let approved = 0;
  for await (const { value } of readTopic(operator.servers.kafka, topics.approvedSampleCounts.name))
    if (value) approved = Math.max(approved, operator.codecs.of(topics.approvedSampleCounts).decode(value).approved);
  assert.ok(approved > 0);
  for (const name of ['trainer', 'deployment-controller', 'queue-rescorer', 'scheduler'])
    assert.equal(running.get(name)?.stats()[name]?.['leading'], 1, name);
});

test('`samvad train` may join the trainers as the operator', async (t) => {
  const components = await startComponents(['trainer'], operator);
  t.after(() => components.stop());
  const bothAreIn = async () => (await admin.describeGroups(['trainer'])).groups[0]?.members.length === 2 || undefined;
  await until(bothAreIn, () => components.states()['trainer'] ?? 'It does not run.');
});

test('a record in the wrong partition is moved to the partition of its key', async (t) => {
  const record = conversation({ conversation_id: 'strayed', created_at: Date.now() });
  const value = operator.codecs.of(topics.conversations).encode(record);
  const partition = (partitionOf(record.conversation_id, PARTITIONS) + 1) % PARTITIONS;
  const producer = clientOf('nlu-service').producer();
  t.after(() => producer.disconnect());
  await producer.connect();
  await producer.send({ topic: topics.conversations.name, messages: [{ partition, value }] });
  await until(hasRow('strayed'), () => stateOf('intake'));
});

test('the API runs as its own user too: it accepts traffic, reports the lag and lists dead letters', async (t) => {
  const ground = standBy(environmentOf('http'));
  const components = await startComponents([], ground);
  const http = await startHttp(ground, components);
  t.after(async () => {
    await http.stop();
    await ground.stop();
  });
  await ground.prepared;
  const get = async (route: string) => {
    const response = await fetch(`${http.url}${route}`);
    assert.equal(response.status, 200, `${route}: ${await response.clone().text()}`);
    return (await response.json()) as Record<string, unknown>;
  };
  const body = { ...conversation({ conversation_id: 'over-http' }), created_at: new Date().toISOString() };
  const response = await fetch(`${http.url}/v1/conversations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 202, await response.text());
  await until(hasRow('over-http'), () => stateOf('conversation-logs'));
  assert.ok(Array.isArray((await get('/v1/status'))['lag']));
  await get('/v1/dead-letters');
});

test('a revoked right stops that component with the reason, and everything continues when the right is restored', async () => {
  const read = { resource: 'topic', name: topics.conversationEvents.name, prefixed: false, operation: 'Read' } as const;
  await without('confidence-router', read, async () => {
    await send('nlu-service', ['without-read']);
    await refused('confidence-router');
    assert.equal(stateOf('intake'), 'ok');
  });
  await until(hasRow('without-read'), () => stateOf('confidence-router'));
  const write = { ...read, name: topics.routingDecisions.name, operation: 'Write' } as const;
  await without('confidence-router', write, async () => {
    await send('nlu-service', ['without-write']);
    await refused('confidence-router');
  });
  await until(hasRow('without-write'), () => stateOf('confidence-router'));
});

test('a service without the right to request erasures gets an error, sends all else, and sends spooled erasures once it has the right', async (t) => {
  const write = { resource: 'topic', name: topics.erasures.name, prefixed: false, operation: 'Write' } as const;
  const spoolFolder = path.join(home, 'spool', 'without-erasures');
  const asked = { requested_by: 'crm', requested_at: Date.now(), reason: 'case 17' };
  const spool = await openSpool({ folder: spoolFolder, maxBytes: 1e6 }); // as if Kafka had been away
  await spool.append({ kind: 'erasure', record: { conversation_id: 'a', ...asked } });
  await spool.append({ kind: 'review', record: review({ conversation_id: 'd', reviewed_at: Date.now() }) });
  await spool.close();
  const options = { ...producerOptions({ ...operator, ...environmentOf('nlu-service') }), spoolFolder };
  const isThere = async (id: string) =>
    (await count(`SELECT count(*) FROM erasures WHERE conversation_id = '${id}'`)) === 1 ? true : undefined;
  let producer: ConversationProducer | undefined;
  t.after(() => producer?.close());
  await without('nlu-service', write, async () => {
    const service = (producer = await createConversationProducer({ ...options, deliveryTimeoutMs: 30_000 }));
    const state = () => JSON.stringify(service.stats());
    await until(() => (service.stats().drained === 1 ? true : undefined), state); // the review behind the erasure
    const waiting = async () =>
      (await readdir(spoolFolder, { recursive: true })).filter((name) => /\d\.ndjson$/.test(name));
    const heldAlone = async () => {
      const files = await waiting();
      return files.length > 0 && files.every((name) => name.startsWith(path.join('held', 'erasure')))
        ? true
        : undefined;
    };
    await until(heldAlone, state); // a review waits while anything else is spooled
    for (let i = 0; i < 3; i++)
      await assert.rejects(
        service.requestErasure({ conversation_id: 'b', requested_by: 'crm', reason: 'case 18' }),
        /no right to write to nlu\.erasures/,
      );
    const record = conversation({ conversation_id: 'without-erasures', created_at: Date.now() });
    assert.equal((await service.send({ kind: 'conversation', record })).stored, 'kafka');
    const answer = review({ conversation_id: 'without-erasures', reviewed_at: Date.now() });
    assert.equal((await service.send({ kind: 'review', record: answer })).stored, 'kafka');
  });
  await until(
    () => isThere('a'),
    () => JSON.stringify(producer?.stats()),
  );
  assert.equal(await isThere('b'), undefined);
  const again = await producer?.requestErasure({ conversation_id: 'b', requested_by: 'crm', reason: 'case 18' });
  assert.equal(again?.stored, 'kafka');
  await until(
    () => isThere('b'),
    () => JSON.stringify(producer?.stats()),
  );
});

test('a service that may write to no topic gets an error, spools nothing, and continues once it has the rights', async (t) => {
  const spoolFolder = path.join(home, 'spool', 'barred');
  const options = { ...producerOptions({ ...operator, ...environmentOf('nlu-service') }), spoolFolder };
  const write = (topic: Topic): Grant => ({ resource: 'topic', name: topic.name, prefixed: false, operation: 'Write' });
  const record = conversation({ conversation_id: 'barred', created_at: Date.now() });
  let producer: ConversationProducer | undefined;
  t.after(() => producer?.close());
  const refused = /no right to write to nlu\.conversations/;
  await without('nlu-service', write(topics.conversations), () =>
    without('nlu-service', write(topics.reviews), () =>
      without('nlu-service', write(topics.erasures), async () => {
        const service = (producer = await createConversationProducer({ ...options, deliveryTimeoutMs: 30_000 }));
        for (let i = 0; i < 3; i++) await assert.rejects(service.send({ kind: 'conversation', record }), refused);
        assert.equal(service.stats().spooled, 0);
      }),
    ),
  );
  const service = producer;
  assert.ok(service);
  const stored = await until(
    () =>
      service.send({ kind: 'conversation', record }).catch((error: unknown) => {
        assert.match(String(error), refused);
        return undefined;
      }),
    () => JSON.stringify(service.stats()),
  );
  assert.equal(stored.stored, 'kafka');
});

test('no user can write to a topic that is not its own', async (t) => {
  const ends = async () =>
    Promise.all(Object.values<Topic>(topics).map(async ({ name }) => topicEnds(operator.servers.kafka, name)));
  await untilCaughtUp(operator.servers, operator.pool);
  const before = await ends();
  for (const { name, writes } of kafkaUsers) {
    const producer = clientOf(name, { retry: { retries: 0 } }).producer();
    t.after(() => producer.disconnect());
    await producer.connect();
    const own = new Set(writes.map((topic) => topic.name));
    const others = Object.values<Topic>(topics).filter((topic) => !own.has(topic.name));
    const refusal = (topic: string) =>
      assert.rejects(
        producer.send({ topic, messages: [{ key: 'k', value: 'v' }] }),
        /authoriz/i,
        `${name} to ${topic}`,
      );
    await Promise.all(others.map((topic) => refusal(topic.name)));
  }
  assert.deepEqual(await ends(), before);
});

for (const [what, changes, expected] of [
  ['a wrong password', { KAFKA_SASL_PASSWORD: 'wrong' }, /KAFKA_SASL_PASSWORD/],
  ['an unknown user', { KAFKA_SASL_USERNAME: 'nobody' }, /KAFKA_SASL_USERNAME/],
  ['a mechanism that the cluster does not have', { KAFKA_SASL_MECHANISM: 'plain' }, /KAFKA_SASL_MECHANISM/],
  ['no user', { KAFKA_SASL_USERNAME: undefined, KAFKA_SASL_PASSWORD: undefined }, /KAFKA_SASL_USERNAME/],
  ['another authority', { KAFKA_TLS_CA_FILE: 'other.pem' }, /KAFKA_TLS_CA_FILE/],
  ['no TLS', { KAFKA_TLS_CA_FILE: undefined }, /KAFKA_TLS/],
] as const) {
  test(`${what}: the component waits, and names the variable to check`, async (t) => {
    const ca = 'KAFKA_TLS_CA_FILE' in changes && changes.KAFKA_TLS_CA_FILE !== undefined;
    const ground = standBy(
      environmentOf('intake', ca ? { KAFKA_TLS_CA_FILE: path.join(home, changes.KAFKA_TLS_CA_FILE) } : changes),
    );
    t.after(() => ground.stop());
    const components = await startComponents(['intake'], ground);
    t.after(() => components.stop());
    const reason = await until(
      () => (/: /.test(components.states()['intake'] ?? '') ? components.states()['intake'] : undefined),
      () => `intake says ${components.states()['intake'] ?? 'nothing'}`,
    );
    assert.match(reason, expected);
  });
}
