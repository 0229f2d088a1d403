import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { text } from 'node:stream/consumers';

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
/** Makes the program throw when it gets SIGUSR2. */
const FAULT = `process.once('SIGUSR2', () => { throw new Error('a fault of the program'); })`;

it('a bug kills the process and prints its reason, so that the process does not stay idle in its consumer groups', async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-fault-'));
  t.after(() => rm(folder, { recursive: true }));
  const preload = path.join(folder, 'fault.cjs');
  await writeFile(preload, FAULT);
  const nowhere = { KAFKA_BROKERS: '127.0.0.1:1', SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' };
  const env = { ...process.env, ...nowhere, DATABASE_URL: 'postgres://127.0.0.1:1/none', SAMVAD_HOME: folder };
  const child = spawn(process.execPath, ['--require', preload, bin, 'run', 'pipeline'], { env, stdio: 'pipe' });
  const told = text(child.stderr);
  child.stderr.once('data', () => child.kill('SIGUSR2'));
  const [, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  assert.equal(signal, 'SIGKILL');
  assert.match(await told, /Error: a fault of the program\n +at /);
});
