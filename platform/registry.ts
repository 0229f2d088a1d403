/** The embedded schema registry. */
import { join } from 'node:path';
import { fetchArtifact, JAVA_ENVIRONMENT, requireJava } from './artifacts.ts';
import type { JavaArtifact } from './artifacts.ts';
import type { Launch, Server, ServerContext } from './server.ts';
import { sharedClasses } from './shared-classes.ts';
import { folder } from './state.ts';
import type { PlatformState } from './state.ts';

const RELEASE = '2.6.13.Final'; // version 3 needs Java 21
const artifact: JavaArtifact = {
  title: `Apicurio Registry ${RELEASE}`,
  folder: `apicurio-${RELEASE}`,
  pom: 'registry.xml',
  unpack: true,
};

function address({ registryPort }: PlatformState): string {
  return `http://127.0.0.1:${registryPort}/apis/ccompat/v7`;
}

/** Apicurio Registry, which speaks the Confluent schema registry's protocol under `/apis/ccompat/v7`. */
export const registryServer: Server = {
  name: 'registry',
  title: 'Schema registry',
  stopSignal: 'SIGTERM',
  ports: (state) => [state.registryPort],
  address,
  prepare,
  probe: async (state) => {
    const response = await fetch(`${address(state)}/subjects`, { signal: AbortSignal.timeout(5_000) });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`the schema registry answers with status ${response.status}`);
  },
};

async function prepare({ home, cache, state, progress, signal }: ServerContext): Promise<Launch> {
  const version = await requireJava();
  const programs = await fetchArtifact(artifact, cache, progress, signal);
  const root = await folder(home, 'registry');
  const classes = await sharedClasses(cache, artifact.folder, version);
  return {
    command: 'java',
    args: [
      '-Xmx256m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      ...classes.map,
      ...classes.leave,
      '-jar',
      join(programs, `apicurio-registry-app-${RELEASE}-runner.jar`),
    ],
    cwd: root,
    env: {
      ...JAVA_ENVIRONMENT,
      // The default is memory, but the log is unreadable without the schema ids. With a file and WRITE_DELAY=0 every commit is written
      // before it is acknowledged, so ids survive kill -9.
      REGISTRY_DATASOURCE_URL: `jdbc:h2:file:${join(root, 'db')};MODE=PostgreSQL;WRITE_DELAY=0`,
      QUARKUS_HTTP_HOST: '127.0.0.1',
      QUARKUS_HTTP_PORT: String(state.registryPort),
      LOG_LEVEL: 'WARN',
      REGISTRY_LOG_LEVEL: 'WARN',
    },
  };
}
