/** A real Label Studio for tests: the Python package on SQLite in a folder of its own, installed into the cache when missing. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectHttp, LabelStudioUnavailable } from '../../label-studio/http.ts';
import type { Send } from '../../label-studio/http.ts';
import { freePorts } from '../../platform/ports.ts';
import { runProgram } from '../../platform/process.ts';
import { readConfig } from '../../config.ts';

const VERSION = '1.23.2';
/** The first start migrates the database; up to 80 s were measured on two busy cores. */
const START_MS = 420_000;
const INSTALL_MS = 15 * 60_000;
const LEGACY_TOKEN = '0123456789abcdef0123456789abcdef01234567';

/** Sends a request as a user; throws when it is refused. */
export type SendAsUser = (method: 'POST' | 'PATCH', path: string, body: object) => Promise<void>;

/** A running Label Studio with one user, who has all permissions. */
export interface LabelStudioServer {
  readonly url: string;
  readonly email: string;
  readonly personalAccessToken: string;
  /** Requests as that user, with the legacy token. */
  readonly send: Send;
  /** Adds a user to the organisation, and returns how to send requests in that user's browser session. */
  addUser(email: string): Promise<SendAsUser>;
  /** Kills it, as a power cut would, and resolves when it has ended. */
  kill(): Promise<void>;
  /** Starts it again on the same address and data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a server on a free port of the loopback. */
export async function startLabelStudio(): Promise<LabelStudioServer> {
  const program = await install(path.join(readConfig().cache, `label-studio-${VERSION}`));
  const folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-label-studio-'));
  const [port = 0] = await freePorts(1);
  const url = `http://127.0.0.1:${port}/`;
  const email = 'reviewer@example.test';
  const send = connectHttp({ url, apiKey: LEGACY_TOKEN });
  const log = path.join(folder, 'server.log');
  let child: ChildProcess | undefined;
  const killNow = () => void child?.kill('SIGKILL');
  process.once('exit', killNow); // also when the tests end without stopping it

  async function start(): Promise<void> {
    const output = openSync(log, 'a');
    child = spawn(program, ['start', '--no-browser', '--port', String(port), '--internal-host', '127.0.0.1'], {
      cwd: folder,
      stdio: ['ignore', output, output],
      env: {
        PATH: process.env['PATH'],
        HOME: folder,
        LABEL_STUDIO_BASE_DATA_DIR: folder,
        LABEL_STUDIO_USERNAME: email,
        LABEL_STUDIO_PASSWORD: 'only-for-this-test-1',
        LABEL_STUDIO_USER_TOKEN: LEGACY_TOKEN,
        LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN: 'True',
        LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK: 'True',
        USE_ENFORCE_CSRF_CHECKS: 'False', // for the session of the other user
        SSRF_PROTECTION_ENABLED: 'False', // else it sends no webhook to the loopback
        COLLECT_ANALYTICS: 'False',
        SENTRY_DSN: '',
        FRONTEND_SENTRY_DSN: '',
        LATEST_VERSION_CHECK: 'False',
        FEATURE_FLAGS_OFFLINE: 'True',
      },
    });
    for (const deadline = Date.now() + START_MS; ; await sleep(250)) {
      if (child.exitCode !== null || Date.now() > deadline) {
        await kill();
        throw new Error(`Label Studio did not start: ${(await readFile(log, 'utf8')).slice(-2000)}`);
      }
      const up = await send('GET', 'health').catch((error: unknown) => {
        if (!(error instanceof LabelStudioUnavailable)) throw error;
      });
      if (up !== undefined) return;
    }
  }

  async function kill(): Promise<void> {
    const ending = child;
    child = undefined;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once('exit', resolve));
    ending.kill('SIGKILL');
    await ended;
  }

  async function addUser(address: string): Promise<SendAsUser> {
    const { token } = (await send('GET', 'api/invite')) as { token: string };
    const form = new URLSearchParams({ email: address, password: 'only-for-this-test-2' });
    const target = new URL(`user/signup/?token=${token}`, url);
    const answer = await fetch(target, { method: 'POST', body: form, redirect: 'manual' });
    const cookie = answer.headers.getSetCookie().map((one) => one.split(';')[0] ?? '');
    return async (method, path, body) => {
      const headers = { cookie: cookie.join('; '), 'content-type': 'application/json' };
      const { ok, status } = await fetch(new URL(path, url), { method, headers, body: JSON.stringify(body) });
      if (!ok) throw new Error(`Label Studio answers ${address} at ${path} with ${status}.`);
    };
  }

  async function stop(): Promise<void> {
    process.off('exit', killNow);
    await kill();
    await rm(folder, { recursive: true, force: true });
  }

  await start().catch(async (error: unknown) => {
    await stop(); // the caller has nothing to stop yet
    throw error;
  });
  const { token } = (await send('POST', 'api/token/', {})) as { token: string };
  return {
    ...{ url, email, send, addUser, kill, restart: start },
    personalAccessToken: token,
    stop,
  };
}

/** The path of the program, which is installed when it is missing. */
async function install(folder: string): Promise<string> {
  const complete = path.join(folder, '.complete');
  const program = path.join(folder, 'bin', 'label-studio');
  if (existsSync(complete)) return program;
  await rm(folder, { recursive: true, force: true });
  await mkdir(path.dirname(folder), { recursive: true });
  for (const [command, args] of [
    ['python3', ['-m', 'venv', folder]],
    [path.join(folder, 'bin', 'pip'), ['install', '--quiet', '--no-cache-dir', `label-studio==${VERSION}`]],
  ] as const) {
    const { code, output } = await runProgram(command, args, { timeoutMs: INSTALL_MS });
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${output.slice(-2000)}`);
  }
  await writeFile(complete, '');
  return program;
}
