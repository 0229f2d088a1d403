import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');
/** Prints at the end of a program how many threads it has (proc(5)), without using libuv's pool itself. */
const PROBE = `process.on('exit', () => require('node:fs').writeSync(2, 'threads ' + require('node:fs').readdirSync('/proc/self/task').length))`;

it('the program has a thread for each consumer of a whole pipeline', { timeout: 60_000 }, async (t) => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-threads-'));
  t.after(() => rm(folder, { recursive: true }));
  const probe = path.join(folder, 'probe.cjs');
  await writeFile(probe, PROBE);
  const env = { ...process.env };
  delete env['UV_THREADPOOL_SIZE'];
  const { stderr } = await promisify(execFile)(process.execPath, ['--require', probe, bin, 'topology'], { env });
  const threads = Number(/threads (\d+)/.exec(stderr)?.[1]);
  assert.ok(threads >= 96, `it has ${threads} threads`);
});
