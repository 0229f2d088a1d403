/** Embedded servers on a temporary data folder. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { readConfig } from '../config.ts';
import type { Config } from '../config.ts';
import { prepare, startEnvironment } from './environment.ts';
import type { Prepared } from './environment.ts';
import { progress, untilStopped } from './terminal.ts';

/**
 * Runs `work` on fresh servers and ignores configured ones. `change` adapts the configuration; `keep` keeps the data folder. Ctrl-C ends
 * `work` and the servers.
 */
export async function onFreshServers(
  name: string,
  keep: boolean,
  change: (config: Config) => Config,
  work: (prepared: Prepared) => Promise<void>,
): Promise<void> {
  const config = readConfig();
  const home = await mkdtemp(path.join(os.tmpdir(), `samvad-${name}-`));
  await chmod(home, 0o755); // Postgres may run as another user
  const fresh: Config = {
    ...config,
    home,
    // The example traffic has dead letters: their warnings would disturb the progress, and the summary counts them.
    logLevel: config.logLevel === 'info' ? 'error' : config.logLevel,
    training: { ...config.training, artifacts: path.join(home, 'artifacts') },
    replication: 1,
    labelStudio: undefined,
    otlpEndpoint: undefined,
    kafka: undefined,
    schemaRegistryUrl: undefined,
    databaseUrl: undefined,
  };
  const stopping = new AbortController();
  const stopped = untilStopped().then(() => {
    progress('Stopping.');
    stopping.abort();
    process.exitCode = 130;
  });
  try {
    const environment = await startEnvironment(change(fresh), stopping.signal);
    try {
      const prepared = await prepare(environment);
      const done = work(prepared).finally(() => (stopping.signal.aborted ? undefined : prepared.stop()));
      // After Ctrl-C only the servers stop: closing connections under running work would look like a failure, and the process ends soon.
      await Promise.race([done, stopped, environment.failed]);
    } finally {
      await environment.stop();
    }
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    if (keep) progress(`The data is kept in ${home}; SAMVAD_HOME=${home} npm start continues with it.`);
    else await rm(home, { recursive: true, force: true });
  }
}
