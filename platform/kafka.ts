/** The embedded Kafka. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kafkajsClient } from '../runtime/kafka-clients.ts';
import { fetchArtifact, JAVA_ENVIRONMENT, requireJava } from './artifacts.ts';
import type { JavaArtifact } from './artifacts.ts';
import { PlatformError } from './platform-error.ts';
import { runProgram } from './process.ts';
import type { Launch, Server, ServerContext } from './server.ts';
import { sharedClasses } from './shared-classes.ts';
import { folder } from './state.ts';
import type { PlatformState } from './state.ts';

const artifact: JavaArtifact = { title: 'Apache Kafka 4.2.0', folder: 'kafka-4.2.0', pom: 'kafka.xml', unpack: false };

function address({ kafkaPort }: PlatformState): string {
  return `127.0.0.1:${kafkaPort}`;
}

/** A real Kafka broker that is its own controller (KRaft combined mode, one node). */
export const kafkaServer: Server = kafkaBroker();

/** Additional lines of `server.properties`, which override the usual ones, and additional options of `StorageTool format`. */
export interface BrokerExtras {
  readonly properties?: (state: PlatformState) => string;
  readonly format?: readonly string[];
}

/** A broker with extras. Its probe uses a listener without TLS and SASL. */
export function kafkaBroker(extras: BrokerExtras = {}): Server {
  return {
    name: 'kafka',
    title: 'Kafka',
    stopSignal: 'SIGTERM',
    ports: (state) => [state.kafkaPort, state.kafkaControllerPort],
    address,
    prepare: (context) => prepare(context, extras),
    probe,
  };
}

/** The folder of Kafka's archives, downloaded on first use. @throws PlatformError */
export function kafkaLibraries(
  cache: string,
  progress: (message: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  return fetchArtifact(artifact, cache, progress, signal);
}

async function prepare({ home, cache, state, progress, signal }: ServerContext, extras: BrokerExtras): Promise<Launch> {
  const version = await requireJava();
  const libraries = await kafkaLibraries(cache, progress, signal);
  const root = await folder(home, 'kafka');
  const data = join(root, 'data');
  const configuration = join(root, 'server.properties');
  const logging = join(root, 'log4j2.properties');
  await writeFile(configuration, `${serverProperties(state, data)}${extras.properties?.(state) ?? ''}`);
  await writeFile(logging, LOGGING_PROPERTIES);
  const java = ['-Djava.awt.headless=true', `-Dlog4j2.configurationFile=${logging}`, '-cp', join(libraries, '*')];
  const classes = await sharedClasses(cache, artifact.folder, version);
  // The storage tool writes meta.properties last, so its presence means that formatting is complete.
  if (!existsSync(join(data, 'meta.properties'))) {
    const format = [
      'kafka.tools.StorageTool',
      'format',
      '--standalone',
      '-t',
      state.kafkaClusterId,
      '-c',
      configuration,
      ...(extras.format ?? []),
    ];
    const small = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
    const { code, output } = await runProgram('java', [...small, ...classes.map, ...java, ...format], {
      env: JAVA_ENVIRONMENT,
    });
    if (code !== 0) throw new PlatformError(`Kafka's storage tool could not format ${data}: ${output.trim()}`);
  }
  return {
    command: 'java',
    args: [
      ...['-Xms256m', '-Xmx512m', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20'],
      ...[...classes.map, ...classes.leave, ...java, 'kafka.Kafka', configuration],
    ],
    cwd: root,
    env: JAVA_ENVIRONMENT,
  };
}

/** Lists the brokers of the cluster: metadata contains a broker only once it accepts requests. */
async function probe(state: PlatformState): Promise<void> {
  const settings = { connectionTimeout: 1_000, requestTimeout: 5_000, retry: { retries: 0 } };
  const admin = kafkajsClient({ brokers: address(state) }, 'samvad-platform', settings).admin();
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    if (brokers.length === 0) throw new Error('the broker has not joined its cluster yet');
  } finally {
    await admin.disconnect();
  }
}

/** A properties file is read as ISO 8859-1, and a backslash starts an escape. `log.dirs` is a list: a comma would end the path. */
function escaped(path: string): string {
  if (path.includes(','))
    throw new PlatformError(`Kafka can't keep its data in ${path}, because of the comma. Choose another folder.`);
  const unit = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return path.replaceAll('\\', '\\\\').replaceAll(/[^\x20-\x7e]/g, unit);
}

function serverProperties(state: PlatformState, data: string): string {
  return `# Written by Samvad at each start; edits are lost.
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:${state.kafkaControllerPort}
listeners=PLAINTEXT://127.0.0.1:${state.kafkaPort},CONTROLLER://127.0.0.1:${state.kafkaControllerPort}
advertised.listeners=PLAINTEXT://127.0.0.1:${state.kafkaPort},CONTROLLER://127.0.0.1:${state.kafkaControllerPort}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=${escaped(data)}
auto.create.topics.enable=false
num.partitions=6

# One node: nothing can be replicated.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=10
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=10
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# Longer than anything is ever stopped: what is forgotten is read again from the start.
offsets.retention.minutes=525600

# One machine: a consumer that joins need not wait for others. A broker that was killed waits for the end of its old session before it
# comes back; shorter than this, its own controller shuts it out whenever it gets no processor time, and every reader stands still.
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=10000
broker.heartbeat.interval.ms=1000
`;
}

/** Standard output goes to the log file (lifecycle.ts). At level INFO it would grow with every rebalance. */
const LOGGING_PROPERTIES = `# Written by Samvad at each start; edits are lost.
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %-5p %m (%c{1})%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
`;
