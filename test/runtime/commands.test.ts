import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { demoCommand } from '../../cli/demo.ts';
import { tableRow } from '../../cli/dead-letters.ts';
import { explain } from '../../cli/explain.ts';
import { reportRefusals } from '../../cli/ingest.ts';
import { promoteCommand, rollbackCommand } from '../../cli/models.ts';
import { render } from '../../cli/replay.ts';
import { defaultPolicy } from '../../policy/routing.ts';
import { startWhatIf } from '../../policy/what-if.ts';
import { InputError } from '../../producers/inputs.ts';
import { UnreadableFile } from '../../producers/jsonl.ts';
import { NotPermitted, RecordTooLarge } from '../../producers/kafka-link.ts';
import { SpoolFull, SpoolUnwritable } from '../../producers/spool.ts';
import type { PlacedDeadLetter } from '../../runtime/dead-letters.ts';
import { conversation } from '../fixtures.ts';

const bin = path.join(import.meta.dirname, '..', '..', 'bin', 'samvad.js');

const CORPUS = path.join(import.meta.dirname, '..', '..', 'examples', 'corpus.jsonl');

/** Runs a command without servers. */
const samvad = (...args: readonly string[]) => samvadIn(process.env, ...args);

function samvadIn(env: NodeJS.ProcessEnv, ...args: readonly string[]) {
  return new Promise<{ code: unknown; out: string; err: string }>((resolve) => {
    execFile(process.execPath, [bin, ...args], { env }, (error, out, err) =>
      resolve({ code: error?.code ?? 0, out, err }),
    );
  });
}

it('demo, promote and rollback can print JSON', () => {
  for (const command of [demoCommand(), promoteCommand(), rollbackCommand()])
    assert.match(command.helpInformation(), /^ +--json /m, command.name());
});

it('a person whose account has no name is identified by the user id', (t) => {
  t.mock.method(os, 'userInfo', () => {
    throw new Error('uv_os_get_passwd returned ENOENT');
  });
  assert.match(promoteCommand().helpInformation(), /"uid \d+"/);
});

describe('a command that fails', () => {
  for (const args of [
    ['ingest', 'typo.jsonl'],
    ['demo', '--input', 'typo.jsonl'],
  ])
    it(`names a missing file before anything starts: ${args.join(' ')}`, async () => {
      const { code, out, err } = await samvad(...args);
      assert.deepEqual([code, out], [1, '']);
      assert.match(err, /^typo\.jsonl can't be read: ENOENT: [^\n]+\.\n$/);
    });

  for (const error of [
    new InputError([{ field: 'nlu_confidence', message: 'It must be a number from 0 to 1.' }]),
    new UnreadableFile("pipe can't be read: EIO."),
    new NotPermitted('review'),
    new RecordTooLarge('Kafka refuses the review for its size.'),
    new SpoolFull('The spool is full.', 7),
    new SpoolUnwritable("The spool can't be written: EROFS.", 30),
  ])
    it(`prints a sentence without a stack trace: ${error.name}`, () => {
      assert.equal(explain(error), error.message);
    });

  it('shows the control characters of a file that it quotes', () => {
    assert.equal(
      explain(new InputError([{ field: 'a\u001b[2J', message: 'It is\u0007 \u009b.' }])),
      'a␛[2J: It is␇ �.',
    );
  });

  it('shows the control characters of messages and dead letters that it lists', () => {
    const example = {
      ...{ conversation_id: 'c-1', nlu_confidence: 0.5, nlu_module: 'food', nlu_intent: 'track_order', language: 'en' },
      user_message: 'where\u001b[2J',
    };
    const tally = startWhatIf({ policy: defaultPolicy, secondsPerAnswer: 20, examples: 1 });
    tally.add(
      conversation({ ...example, nlu_confidence: 0.1 }),
      { ...defaultPolicy, thresholds: { trust: 0, doubt: 0 } },
      undefined,
    );
    assert.match(render(tally.report()), /where␛\[2J/);
    const letter = { id: '3/17', code: 'bad-avro', topic: 't', partition: 0, offset: 1, message: 'It is \u001b[2J\nx' };
    assert.equal(tableRow({ ...letter, traceparent: null, replayed: null } as PlacedDeadLetter).at(-1), 'It is ␛[2J x');
  });

  it('shows the control characters in the lines that ingest refuses', (t) => {
    const said: unknown[] = [];
    t.mock.method(process.stderr, 'write', (text: unknown) => said.push(text) > 0);
    const refusal = { line: 3, problems: [{ field: '\u001b[31m', message: 'It is not a field.' }] };
    reportRefusals('x.jsonl', { lines: 3, accepted: 2, rejected: 1, refusals: [refusal] });
    t.mock.restoreAll();
    assert.deepEqual(said, ['x.jsonl:3: ␛[31m: It is not a field.\n']);
  });

  for (const [args, why] of [
    [['topology', '--acls', '--mermaid'], /'--mermaid' cannot be used with option '--acls'/],
    [['topology', '--acls', '--json'], /'--acls' cannot be used with option '--json'/],
    [['train', '--resume', 'a', '--cancel', 'b'], /'--cancel <run>' cannot be used with option '--resume <run>'/],
    [['accuracy', '--from', '2026-11-02', '--to', '2026-11-01'], /^--from 2026-11-02 is after --to 2026-11-01\.\n$/],
    [['dead-letters', 'replay', '--code', 'nope'], /'nope' is invalid\. Allowed choices are bad-frame, .*erased/],
    [['dead-letters', 'replay', '3/17', '--code', 'erased'], /^Name one letter or a code, not both/],
    [['export', '--output', ''], /^The name of the output is empty; give it with --output\.\n$/],
    [['run', '__proto__'], /^There is no component __proto__\. There are: intake, /m],
    [['token', 'new', 'a b', 'read'], /^The name a b is not valid: at most 64 letters/],
    [['token', 'new', 'a', 'read,write'], /^There is no role write; the roles are ingest, /],
    [
      ['token', 'new', 'a', 'read', '--file', '/nowhere/tokens'],
      /^\/nowhere\/tokens can't be used: ENOENT: [^\n]+\.\n$/,
    ],
    [['token', 'new', 'a', 'read', '--file', '/tmp'], /^\/tmp can't be used: EISDIR: [^\n]+\.\n$/],
  ] as const)
    it(`refuses at once what can not be meant: ${args.join(' ')}`, async () => {
      const nowhere = { KAFKA_BROKERS: '127.0.0.1:1', SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' };
      const env = { ...process.env, ...nowhere, DATABASE_URL: 'postgres://127.0.0.1:1/none' };
      const { code, out, err } = await samvadIn(env, ...args);
      assert.deepEqual([code, out], [1, ''], err);
      assert.match(err, why);
    });

  it('prints the stack trace of a bug', () => {
    assert.match(explain(new TypeError('x is not a function')), /^TypeError: x is not a function\n +at /);
  });
});

/** Python has what Node lacks: pipes of a chosen size, and terminals. Resolves to what `program` prints. */
async function python(program: string, args: readonly string[], env = process.env): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('python3', ['-c', program, process.execPath, bin, ...args], { env, timeout: 60_000 }, (error, out, err) =>
      error === null ? resolve(out) : reject(new Error(err, { cause: error })),
    );
  });
}

describe('train-router', () => {
  for (const [args, why] of [
    [['--register'], /^Not running and not configured: Kafka /],
    [
      ['--output', '/nowhere/router.onnx'],
      /^\/nowhere\/router\.onnx can't be written: ENOENT: [^\n]+ '\/nowhere'\.\n$/,
    ],
    [['--report', '/nowhere/report.html'], /^\/nowhere\/report\.html can't be written: ENOENT: /],
    [['--output', '/tmp'], /^\/tmp can't be written: EISDIR: [^\n]+ '\/tmp'\.\n$/],
    [
      ['--output', '/dev/null', '--report', '/nowhere/report.html'],
      /^\/nowhere\/report\.html can't be written: ENOENT: /,
    ],
  ] as const)
    it(`checks what it needs at its end before it trains: ${args.join(' ')}`, async () => {
      const { code, err } = await samvadIn(
        { ...process.env, SAMVAD_HOME: '/nowhere' },
        'train-router',
        CORPUS,
        ...args,
      );
      assert.equal(code, 1);
      assert.match(err, why);
    });
});

it('all of the output reaches a slow reader', async () => {
  const slowly = `
import fcntl, os, subprocess, sys, time
r, w = os.pipe()
fcntl.fcntl(w, 1031, 4096)  # F_SETPIPE_SZ
child = subprocess.Popen(sys.argv[1:], stdout=w)
os.close(w)
first = os.read(r, 1)
time.sleep(1)
print(first.decode() + open(r).read(), end="")
sys.exit(child.wait())`;
  const { out } = await samvad('topology', '--acls');
  assert.ok(out.length > 20_000);
  assert.equal(await python(slowly, ['topology', '--acls']), out);
});

it('a command fails when a full disk does not take its output', async () => {
  const child = spawn(process.execPath, [bin, 'topology'], { stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'] });
  const [errors] = await Promise.all([child.stderr?.toArray(), once(child, 'exit')]);
  assert.match(String(errors), /^Not all of the output could be written: ENOSPC[^\n]+\n$/);
  assert.equal(child.exitCode, 1);
});

describe('a process that runs until it is stopped', () => {
  let home: string;
  let env: NodeJS.ProcessEnv;
  before(async () => {
    home = await mkdtemp(path.join(os.tmpdir(), 'samvad-stopped-'));
    const nowhere = '127.0.0.1:1';
    const servers = { KAFKA_BROKERS: nowhere, SCHEMA_REGISTRY_URL: `http://${nowhere}` };
    env = {
      ...process.env,
      ...servers,
      DATABASE_URL: `postgres://${nowhere}/none`,
      SAMVAD_HOME: home,
      SAMVAD_HTTP_PORT: '0',
    };
  });
  after(() => rm(home, { recursive: true }));

  it('says why a component failed while the process was starting', async () => {
    const { code, err } = await samvadIn(
      { ...env, KAFKA_TLS: 'true', KAFKA_TLS_CA_FILE: '/nowhere' },
      'run',
      'pipeline',
      'http',
    );
    assert.equal(code, 1, err);
    assert.match(err, /^ENOENT: [^\n]+ '\/nowhere'\n$/m);
    assert.doesNotMatch(err, /^ +at /m);
  });

  it('shuts down cleanly when one Ctrl-C reaches it twice, as under npm', async () => {
    const child = spawn(process.execPath, [bin, 'run', 'pipeline', 'http'], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    for await (const said of child.stderr) if (String(said).includes('Running')) break;
    child.kill('SIGINT');
    child.kill('SIGTERM'); // two of a kind at once may arrive as one
    await once(child, 'exit');
    assert.equal(child.exitCode, 0);
  });

  it('outlives its terminal', async () => {
    const closed = `
import os, subprocess, sys, time
terminal, w = os.openpty()
child = subprocess.Popen(sys.argv[1:], stderr=w, start_new_session=True)
os.close(w)
said = b""
while b"not in place yet" not in said or b"Running" not in said: said += os.read(terminal, 4096)
os.close(terminal)
time.sleep(2)
print(child.poll())
child.terminate()
child.wait()`;
    assert.equal(await python(closed, ['run', 'pipeline'], env), 'None\n');
  });

  it('keeps running while the disk of its log is full, and shuts down cleanly', async () => {
    const full = path.join(home, 'full');
    const child = spawn(process.execPath, [bin, 'run', 'http'], {
      env: { ...env, SAMVAD_HOME: full },
      stdio: ['ignore', 'ignore', openSync('/dev/full', 'w')],
    });
    for (let i = 0; i < 300 && !existsSync(path.join(full, 'spool')); i++) await sleep(100);
    await sleep(2000); // by then it has tried to log that the servers are away
    assert.equal(child.exitCode ?? child.signalCode, null);
    child.kill('SIGTERM');
    await Promise.race([once(child, 'exit'), sleep(20_000)]);
    child.kill('SIGKILL');
    assert.equal(child.exitCode, 0);
  });
});
