import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../../platform/ports.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { librdkafkaConfig } from '../../runtime/kafka-clients.ts';
import { connectProducer, disconnect } from '../../runtime/rdkafka.ts';
import { topics } from '../../topology.ts';
import { endAll, startStack } from './stack.ts';
import type { Stack } from './stack.ts';

const root = path.join(import.meta.dirname, '..', '..');

/** Pages whose commands are run, in this order, against a `samvad up` on empty servers. */
const PAGES = [
  'README.md',
  'docs/producing.md',
  'docs/policy.md',
  'docs/label-studio.md',
  'docs/operations.md',
  'docs/dead-letters.md',
  'docs/training-loop.md',
  'docs/training.md',
  'docs/serving.md',
  'docs/jobs.md',
  'docs/kpis.md',
];

/** Commands that are not run here, and why. */
const NOT_RUN: readonly (readonly [RegExp, string])[] = [
  [/^npm (ci|start)|^npm run demo|samvad (simulate|platform|up)|^cp -a/, 'starts servers of its own; other tests do'],
  [/samvad review$/, 'asks a person'],
  [/label-studio:sync/, 'label-studio.test.ts does, with a Label Studio'],
  [/samvad run/, 'runs until it is stopped; the crash tests do'],
  [/train --(cancel|resume) RUN/, 'needs a run in progress; training-run.test.ts does'],
  [/train:router .* --register/, 'serving.test.ts and own-trainer.test.ts do'],
  [/samvad models register/, 'own-trainer.test.ts does'],
  [/samvad erase ID/, 'the reader has an id; erasure.test.ts does'],
  [/label-studio start|^cp .env|^\$EDITOR/, 'label-studio.test.ts does, with a Label Studio'],
  [/^pip|^python|^mvn|^java/, 'needs packages that are not installed for the tests'],
  [/KAFKA_BROKERS=.*PORT|^kafka-\w+\.sh|topology --topics/, 'the reader has a port; topics.test.ts does'],
  [/^psql/, 'needs a client that not every machine has'],
];

/** Commands that run before those of a page, for what the page takes for granted. */
const BEFORE: Readonly<Record<string, string>> = {
  'docs/serving.md': `npx samvad promote router-v1.1.0
until curl -s localhost:8080/v1/classify --json '{"text": "hello", "language": "en"}'; do [ $((tries += 1)) -lt 600 ]; sleep 0.2; done`,
};

/** Commands whose exit code is not 0, and why. */
const EXIT_CODES: readonly (readonly [RegExp, number, string])[] = [
  [/ingest examples\/conversations.jsonl/, 1, 'eight lines of the example are malformed'],
];

/** The commands of the `sh` blocks of a page, with continued lines joined. */
function commandsOf(text: string): readonly string[] {
  return [...text.matchAll(/^```sh\n(.*?)^```/gms)].flatMap(([, block = '']) => {
    const commands: string[] = [];
    let open = '';
    for (const line of block.split('\n')) {
      const quotes = (open + line).split("'").length - 1;
      const whole = quotes % 2 === 1 ? line : line.replace(/\s+#.*$/, '').trimEnd();
      open += `${open === '' ? '' : '\n'}${whole}`;
      if (quotes % 2 === 1 || /[\\|]$/.test(whole)) continue;
      if (open.trim() !== '') commands.push(open.trim());
      open = '';
    }
    return commands;
  });
}

/** For one command; the longest ones train. */
const COMMAND_MS = 300_000;

describe('the commands of the documentation', () => {
  let stack: Stack;
  let folder: string;
  let up: ChildProcess;
  let preamble: string;
  const done = new Set<string>();

  before(async () => {
    stack = await startStack();
    const http = `127.0.0.1:${(await freePorts(1))[0]}`;
    const env = { ...process.env, ...stack.env, SAMVAD_HTTP_PORT: http.split(':')[1] };
    up = spawn(process.execPath, [path.join(root, 'bin/samvad.js'), 'up'], { env, stdio: 'ignore' });
    folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-docs-'));
    for (const name of ['examples', 'node_modules']) await symlink(path.join(root, name), path.join(folder, name));
    await mkdir(path.join(folder, 'home'));
    const lines = (await readFile(path.join(root, 'examples/conversations.jsonl'), 'utf8')).split('\n');
    await writeFile(path.join(folder, 'my-conversations.jsonl'), lines.slice(0, 3).join('\n'));
    await writeFile(path.join(folder, 'one-conversation.json'), lines[3] ?? '');
    for (const name of ['routing-v2', 'FILE'])
      await writeFile(
        path.join(folder, `${name}.json`),
        JSON.stringify({ ...defaultPolicy, version: name, audit_share: 0.1 }),
      );
    const { scripts } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const samvad = `${process.execPath} ${root}/bin/samvad.js`;
    const cases = Object.entries(scripts)
      .filter(([, script]) => script.startsWith('node bin/samvad.js '))
      .map(([name, script]) => `${name}) ${script.replace('node bin/samvad.js', samvad)} "$@";;`);
    // The commands as in the reader's shell, apart from the port; curl also fails when a request fails.
    preamble = `set -e -o pipefail
npx() { if [ "$1" = samvad ]; then shift; ${samvad} "$@"; else command npx "$@"; fi; }
npm() { local script="$2"; shift 2; [ "\${1:-}" != -- ] || shift; case "$script" in ${cases.join(' ')} *) return 1;; esac; }
curl() { command curl --fail-with-body "\${@//@(localhost|127.0.0.1):8080/${http}}"; }
letter() { # the letter that a replay causes may still be on its way
  local id= tries=0
  while [ -z "$id" ]; do [ $((tries += 1)) -lt 60 ] || return 1; id=$(npx samvad dead-letters list --json | grep '"code":"bad-frame"' | head -1 | sed 's/.*"id":"\\([^"]*\\)".*/\\1/'); done
  echo "$id"
}
shopt -s extglob
`;
    // A dead letter that a reader can look at and correct: JSON where Avro should be.
    const bad = await connectProducer(librdkafkaConfig(stack.prepared.servers.kafka, 'bad'));
    bad.produce(topics.conversations.name, 0, Buffer.from(lines[4] ?? ''), 'bad');
    await disconnect(bad); // sends waiting records
    for (const deadline = Date.now() + 120_000; ; await sleep(200)) {
      const answer = await fetch(`http://${http}/readyz`).catch(() => undefined);
      if (answer?.ok === true) break;
      assert.ok(Date.now() < deadline, `samvad up is not ready: ${(await answer?.text()) ?? 'no answer'}`);
    }
  });
  after(() =>
    endAll(
      async () => {
        const ended = new Promise((resolve) => up.once('exit', resolve));
        if (up.kill('SIGTERM')) await ended;
      },
      () => stack.stop(),
      () => rm(folder, { recursive: true, force: true }),
    ),
  );

  for (const page of PAGES)
    it(page, async () => {
      const commands = commandsOf(await readFile(path.join(root, page), 'utf8'));
      assert.ok(commands.length > 0);
      for (const command of [BEFORE[page] ?? ':', ...commands]) {
        if (done.has(command) || NOT_RUN.some(([pattern]) => pattern.test(command))) continue;
        done.add(command);
        const { code, output } = await shell(preamble + command.replaceAll('3/17', '$(letter)'));
        const [, expected] = EXIT_CODES.find(([pattern]) => pattern.test(command)) ?? [undefined, 0];
        assert.equal(code, expected, `${command}\n${output}`);
      }
    });

  it('leave out only commands that the pages still contain', async () => {
    const all = (await Promise.all(PAGES.map((page) => readFile(path.join(root, page), 'utf8')))).flatMap(commandsOf);
    for (const [pattern, reason] of NOT_RUN)
      assert.ok(
        all.some((command) => pattern.test(command)),
        reason,
      );
  });

  async function shell(script: string): Promise<{ code: number | null; output: string }> {
    const env = { ...process.env, ...stack.env, HOME: path.join(folder, 'home') };
    const child = spawn('bash', ['-c', script], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    // Also kills its children, which would keep its output open.
    const late = setTimeout(() => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'), COMMAND_MS);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    clearTimeout(late);
    return { code, output: output.slice(-3000) };
  }
});
