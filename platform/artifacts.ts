/** Programs from Maven Central, kept in a cache. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.ts';
import { PlatformError, twoWaysOn } from './platform-error.ts';
import { runProgram } from './process.ts';

const OLDEST_JAVA = 17;

/** Without a locale, as under systemd, Java can't read paths with non-ASCII characters. */
export const JAVA_ENVIRONMENT = { LC_ALL: 'C.UTF-8' };

/** A server distributed as Java archives on Maven Central. */
export interface JavaArtifact {
  /** For messages, such as `Apache Kafka 4.2.0`. */
  readonly title: string;
  /** The folder in the cache; holds the version. */
  readonly folder: string;
  /** A file in platform/maven/ whose dependencies are downloaded. */
  readonly pom: string;
  /** Whether the one dependency is a tar.gz to unpack. */
  readonly unpack: boolean;
}

/** Checks that `java` is installed and recent enough; returns its version output. @throws PlatformError with two remedies. */
export async function requireJava(): Promise<string> {
  const { code, output } = await runProgram('java', ['-version']);
  const major = javaMajor(output);
  if (code === 0 && !(major < OLDEST_JAVA)) return output; // also where the version can't be read
  const found = code === 0 ? `here is version ${major}` : 'does not run here';
  const ways = twoWaysOn('apt-get install openjdk-17-jdk maven');
  throw new PlatformError(
    `The embedded Kafka and schema registry need Java ${OLDEST_JAVA} or later, and \`java\` ${found}: ${ways}.`,
  );
}

/** The major version that `java -version` printed; "1.8.0_392" is Java 8. */
function javaMajor(output: string): number {
  const [, first, second] = /version "(\d+)(?:\.(\d+))?/.exec(output) ?? [];
  return Number(first === '1' ? second : first);
}

/** The folder with the files of an artifact, downloaded by Maven on first use. @throws PlatformError */
export async function fetchArtifact(
  artifact: JavaArtifact,
  cache: string,
  progress: (message: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const target = join(cache, artifact.folder);
  if (existsSync(target)) return target;
  await requireMaven(artifact);
  await mkdir(cache, { recursive: true });
  const onWait = (holder: number): void => {
    progress(`waiting for process ${holder}, which is downloading ${artifact.title}`);
  };
  await withLock(`${target}.lock`, onWait, signal, async () => {
    if (existsSync(target)) return;
    progress(`downloading ${artifact.title} (once, into ${cache})`);
    // Only a complete folder gets the final name, so an interrupted download starts again.
    const partial = `${target}.partial`;
    await rm(partial, { recursive: true, force: true });
    await copyDependencies(artifact, partial, signal);
    if (artifact.unpack) await unpackArchives(partial);
    await rename(partial, target);
  });
  return target;
}

/** Checks that `mvn` is installed. @throws PlatformError with two remedies. */
async function requireMaven({ title }: JavaArtifact): Promise<void> {
  const { code } = await runProgram('mvn', ['-version']);
  if (code === 0) return;
  const ways = twoWaysOn('apt-get install openjdk-17-jdk maven');
  throw new PlatformError(`Maven is needed once to download ${title}, and \`mvn\` does not run here: ${ways}.`);
}

async function copyDependencies(
  artifact: JavaArtifact,
  output: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const pom = fileURLToPath(new URL(`./maven/${artifact.pom}`, import.meta.url));
  const args = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${output}`];
  const copied = await runProgram('mvn', args, { env: JAVA_ENVIRONMENT, signal });
  if (copied.code === 0) return;
  signal?.throwIfAborted();
  const errors = copied.output.split('\n').filter((line) => line.includes('ERROR'));
  throw new PlatformError(
    `Maven could not download ${artifact.title}; check the network or the proxy in ~/.m2/settings.xml. It said:\n${errors.slice(0, 3).join('\n')}`,
  );
}

async function unpackArchives(target: string): Promise<void> {
  for (const name of (await readdir(target)).filter((file) => file.endsWith('.tar.gz'))) {
    const archive = join(target, name);
    const { code, output } = await runProgram('tar', ['-xzf', archive, '-C', target]);
    if (code !== 0) throw new PlatformError(`${archive} could not be unpacked: ${output.trim()}`);
    await rm(archive);
  }
}
