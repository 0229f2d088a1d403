import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFile,
  mkdir,
  mkdtemp,
  open as openFile,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { Drain } from '../../producers/drain.ts';
import type { DrainLink } from '../../producers/drain.ts';
import type { ProducedEvent } from '../../producers/inputs.ts';
import { openHeld } from '../../producers/held.ts';
import { NotPermitted, RecordTooLarge, Undelivered } from '../../producers/kafka-link.ts';
import { openSpool, SpoolFull, SpoolUnwritable } from '../../producers/spool.ts';
import type { Spool } from '../../producers/spool.ts';
import { partitionOf } from '../../stream/partition.ts';
import { PARTITIONS } from '../../topology.ts';
import { conversation, review } from '../fixtures.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'samvad-spool-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = (options: { maxBytes?: number; segmentBytes?: number } = {}) =>
  openSpool({ folder, maxBytes: 10 * 1024 * 1024, ...options });
const event = (id: string): ProducedEvent => ({ kind: 'conversation', record: conversation({ conversation_id: id }) });
const ids = (count: number) => Array.from({ length: count }, (_, i) => `c-${String(i)}`);
const append = (spool: Spool, all: readonly string[]) => Promise.all(all.map((id) => spool.append(event(id))));

/** Kafka as far as draining sees it; `refuse` may throw. */
function link(refuse: (id: string) => void = () => undefined): DrainLink & { readonly taken: string[] } {
  const taken: string[] = [];
  return {
    taken,
    connected: true,
    healthy: true,
    deliver({ record: { conversation_id } }) {
      try {
        refuse(conversation_id);
      } catch (error) {
        return Promise.reject(error instanceof Error ? error : new Error(String(error)));
      }
      taken.push(conversation_id);
      return Promise.resolve();
    },
  };
}

async function drained(spool: Spool, kafka = link()): Promise<readonly string[]> {
  const drain = new Drain(spool, kafka, undefined);
  await drain.finish(10_000);
  return kafka.taken;
}

async function killedChild(prefix: string, acknowledged: number): Promise<string[]> {
  const script = path.join(import.meta.dirname, 'spool-child.ts');
  const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', script, folder, prefix], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output.split('\n').length > acknowledged) child.kill('SIGKILL');
  });
  await once(child, 'close');
  return output.slice(0, output.lastIndexOf('\n')).split('\n');
}

describe('the spool', () => {
  it('returns records in order, across segments, and leaves no file behind', async () => {
    const spool = await open({ segmentBytes: 2000 });
    for (const id of ids(50)) await spool.append(event(id));
    assert.deepEqual(await drained(spool), ids(50));
    assert.equal(spool.bytes, 0);
    await spool.close();
    assert.deepEqual(await readdir(folder), []);
  });

  it('keeps a record unchanged', async () => {
    const spool = await open();
    await spool.append(event('c-0'));
    const seen: ProducedEvent[] = [];
    const kafka = { ...link(), deliver: (e: ProducedEvent) => Promise.resolve(void seen.push(e)) };
    await drained(spool, { ...kafka, taken: [] });
    assert.deepEqual(seen, [event('c-0')]);
    await spool.close();
  });

  it('accepts appends at any time while it is drained', async () => {
    const spool = await open({ segmentBytes: 5000 });
    const kafka = link();
    const drain = new Drain(spool, kafka, undefined);
    for (let i = 0; i < 20; i++) {
      await append(
        spool,
        ids(100).map((id) => `${String(i)}-${id}`),
      );
      if (i % 4 === 0) await sleep(5);
    }
    await drain.finish(10_000);
    assert.equal(kafka.taken.length, 2000);
    assert.equal(new Set(kafka.taken).size, 2000);
    await spool.close();
  });

  it('refuses records when it is full, and has room again when Kafka has taken the waiting ones', async () => {
    const spool = await open({ maxBytes: 2000 });
    const outcomes = await Promise.allSettled(ids(10).map((id) => spool.append(event(id))));
    const stored = outcomes.filter(({ status }) => status === 'fulfilled').length;
    const full = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
    assert.ok(stored > 0 && full.length > 0);
    for (const error of full) {
      assert.ok(error instanceof SpoolFull);
      assert.ok(error.retryAfterSeconds > 0);
    }
    assert.equal((await drained(spool)).length, stored);
    await spool.append(event('again'));
    await spool.close();
  });

  it('leaves waiting records to the next process when it is closed', async () => {
    const first = await open();
    await append(first, ids(20));
    await first.close();
    const second = await open();
    assert.deepEqual(await drained(second), ids(20));
    await second.close();
  });

  it('leaves alone the folder of a spool that is open in a running process', async () => {
    const first = await open();
    await append(first, ids(20));
    const second = await open();
    assert.equal(second.bytes, 0);
    assert.deepEqual(await drained(first), ids(20));
    await first.close();
    await second.close();
  });

  it("leaves alone another host's folder and a folder that is not a spool", async () => {
    await mkdir(path.join(folder, 'elsewhere~12~boot.1~4026532999~1d0c9b1e'));
    await mkdir(path.join(folder, 'notes'));
    const spool = await open();
    await spool.close();
    assert.deepEqual((await readdir(folder)).sort(), ['elsewhere~12~boot.1~4026532999~1d0c9b1e', 'notes']);
  });

  it("takes over other folders when one can't be taken over", async () => {
    await leftOver(['c-0']);
    const broken = path.join(folder, 'free~0-broken');
    await mkdir(broken);
    await symlink('000000000001.ndjson', path.join(broken, '000000000001.ndjson')); // as bad as another user's folder
    const messages: string[] = [];
    const log = pino({}, { write: (line: string) => void messages.push((JSON.parse(line) as { msg: string }).msg) });
    const spool = await openSpool({ folder, maxBytes: 1e6, log });
    assert.match(messages.join(), /can not be taken over/);
    assert.deepEqual(await drained(spool), ['c-0']);
    await rm(path.join(broken, '000000000001.ndjson'));
    await writeFile(path.join(broken, '000000000001.ndjson'), `${JSON.stringify(event('c-1'))}\n`);
    await spool.adoptOrphans();
    assert.deepEqual([messages.length, await drained(spool)], [1, ['c-1']]);
    await spool.close();
  });

  it("takes over the folder of a process that it can't see only when that was not touched for a minute", async () => {
    const name = `${os.hostname().replaceAll(/[^A-Za-z0-9.-]/g, '.')}~12~boot.1~4026532999~1d0c9b1e`;
    await mkdir(path.join(folder, name));
    await writeFile(path.join(folder, name, '000000000001.ndjson'), `${JSON.stringify(event('seen'))}\n`);
    const spool = await open();
    assert.equal(spool.bytes, 0);
    const before = new Date(Date.now() - 61_000);
    await utimes(path.join(folder, name), before, before);
    await spool.adoptOrphans();
    assert.deepEqual(await drained(spool), ['seen']);
    await spool.close();
  });

  it('loses nothing when another process takes its folder while it writes', async () => {
    const spool = await open();
    await append(spool, ['before']);
    const [own = ''] = await readdir(folder);
    await rename(path.join(folder, own), path.join(folder, 'taken'));
    await append(spool, ['after']);
    assert.deepEqual(await drained(spool), ['after']);
    assert.equal(spool.bytes, 0);
    const taken = await readFile(path.join(folder, 'taken', '000000000001.ndjson'), 'utf8');
    assert.match(taken, /"before"/);
    await spool.close();
  });

  it('loses nothing that it acknowledged before kill -9, and two successors share it without duplicates', async () => {
    const acknowledged = [...(await killedChild('a', 3000)), ...(await killedChild('b', 500))];
    assert.ok(acknowledged.length >= 3500);
    const successors = await Promise.all([open(), open()]);
    const taken = (await Promise.all(successors.map((spool) => drained(spool)))).flat();
    const unique = new Set(taken);
    assert.equal(unique.size, taken.length);
    assert.deepEqual(
      acknowledged.filter((id) => !unique.has(id)),
      [],
    );
    for (const spool of successors) await spool.close();
    assert.deepEqual(await readdir(folder), []);
  });

  it('drops a torn last line', async () => {
    const segment = await leftOver(['c-0', 'c-1']);
    await appendFile(segment, JSON.stringify(event('torn')).slice(0, 40));
    const spool = await open();
    assert.deepEqual(await drained(spool), ['c-0', 'c-1']);
    await spool.close();
    assert.deepEqual(await readdir(folder), []);
  });

  it('sets a damaged line aside and goes on', async () => {
    const segment = await leftOver(['c-0', 'c-1', 'c-2']);
    const lines = (await readFile(segment, 'utf8')).split('\n');
    await writeFile(segment, [lines[0], '\0\0\0', lines[1], '{"kind":"other"}', lines[2], ''].join('\n'));
    const spool = await open();
    assert.deepEqual(await drained(spool), ['c-0', 'c-1', 'c-2']);
    await spool.close();
    assert.equal((await refusedLines()).length, 2);
  });

  it('sets a record aside that Kafka refuses for good', async () => {
    const spool = await open();
    await append(spool, ids(3));
    const kafka = link((id) => {
      if (id === 'c-1') throw new RecordTooLarge('Too large.');
    });
    assert.deepEqual(await drained(spool, kafka), ['c-0', 'c-2']);
    const [refused] = await refusedLines();
    assert.equal(refused?.reason, 'Too large.');
    assert.deepEqual(JSON.parse(refused.line), event('c-1'));
    await spool.close();
  });

  it('sets records that wait for a right aside, sends all others, and sends those in order once the right is granted', async () => {
    const erasure = (id: string): ProducedEvent => ({
      kind: 'erasure',
      record: { conversation_id: id, requested_by: 'crm', requested_at: 1, reason: 'case 17' },
    });
    let granted = false;
    const taken: string[] = [];
    const kafka: Parameters<typeof openHeld>[1] = {
      connected: true,
      healthy: true,
      refuses: (kind) => kind === 'erasure' && !granted,
      deliver({ kind, record: { conversation_id } }) {
        if (kind === 'erasure' && !granted) return Promise.reject(new NotPermitted(kind));
        taken.push(`${kind} ${conversation_id}`);
        return Promise.resolve();
      },
    };
    const spool = await open();
    for (const one of [erasure('c-1'), event('c-2'), erasure('c-3'), event('c-4')]) await spool.append(one);
    let held = await openHeld({ folder, maxBytes: 1e6 }, kafka);
    await new Drain(spool, kafka, undefined, { room: held }).finish(10_000);
    assert.deepEqual(taken, ['conversation c-2', 'conversation c-4']);
    assert.deepEqual([spool.bytes, held.isAheadOf('erasure'), held.isAheadOf('conversation')], [0, true, false]);
    assert.match(held.refusal('erasure')?.message ?? '', /no right to write to nlu\.erasures/);
    assert.equal(held.refusal('conversation'), undefined);
    await held.close();
    granted = true;
    held = await openHeld({ folder, maxBytes: 1e6 }, kafka);
    while (held.bytes > 0) await sleep(10);
    assert.deepEqual(taken.slice(2), ['erasure c-1', 'erasure c-3']);
    await held.close();
    await spool.close();
    assert.deepEqual(await readdir(folder), []);
  });

  it('tries again after a failure, and deletes a segment only when all of it was acknowledged', async () => {
    const spool = await open();
    await append(spool, ids(2500));
    let failures = 3;
    const kafka = link((id) => {
      if (id === 'c-1700' && failures-- > 0) throw new Undelivered('Not now.');
    });
    const drain = new Drain(spool, kafka, undefined);
    while (failures > 1) await sleep(10);
    assert.ok(spool.bytes > 0);
    await drain.finish(10_000);
    assert.deepEqual(new Set(kafka.taken), new Set(ids(2500)));
    assert.equal(kafka.taken.filter((id) => id === 'c-0').length, 1, 'the first window is not sent again');
    assert.equal(spool.bytes, 0);
    await spool.close();
  });

  it('sends what other partitions and topics take, and the rest in order once they take it', async () => {
    const partition = partitionOf('c-0', PARTITIONS);
    const stuck = ids(500).filter((id) => partitionOf(id, PARTITIONS) === partition);
    let [leader, erasures] = [false, false];
    const taken: string[] = [];
    const kafka: DrainLink = {
      connected: true,
      healthy: true,
      deliver({ kind, record: { conversation_id } }) {
        const away = kind === 'erasure' ? !erasures : !leader && stuck.includes(conversation_id);
        if (away) return Promise.reject(new Undelivered('Not now.'));
        taken.push(`${kind} ${conversation_id}`);
        return Promise.resolve();
      },
    };
    const erasure = (id: string): ProducedEvent => ({
      kind: 'erasure',
      record: { conversation_id: id, requested_by: 'crm', requested_at: 1, reason: 'case 17' },
    });
    const said = (id: string): ProducedEvent => ({ kind: 'review', record: review({ conversation_id: id }) });
    const spool = await open({ segmentBytes: 20_000 });
    const all = [erasure('c-1'), ...ids(500).map(event), ...stuck.map(said), erasure('c-0')];
    for (const one of all) await spool.append(one);
    const bytes = spool.bytes;
    const drain = new Drain(spool, kafka, undefined);
    while (taken.length < 500 - stuck.length) await sleep(10);
    for (const id of stuck) await spool.append(said(id));
    while (spool.bytes > bytes / 2) await sleep(10); // records that were sent free their room
    erasures = true;
    while (!taken.includes('erasure c-1')) await sleep(10);
    assert.ok(!taken.includes('erasure c-0'), 'its conversation was not sent yet');
    leader = true;
    await drain.finish(10_000);
    const of = (kind: string) => taken.filter((one) => one.startsWith(kind));
    assert.deepEqual(
      of('conversation').slice(-stuck.length),
      stuck.map((id) => `conversation ${id}`),
    );
    assert.deepEqual(
      of('review'),
      [...stuck, ...stuck].map((id) => `review ${id}`),
    );
    assert.equal(new Set(of('conversation')).size, of('conversation').length);
    assert.ok(taken.indexOf('erasure c-0') > taken.indexOf('conversation c-0'));
    await spool.close();
    assert.deepEqual(await readdir(folder), []);
  });

  it('tries one record per pass while Kafka does not answer, each time of another partition', async () => {
    const asked: string[] = [];
    let passes = 0;
    const log = pino({}, { write: (line: string) => void (passes += Number(line.includes('could not be sent on'))) });
    const partition = (id: string) => partitionOf(id, PARTITIONS);
    const kafka: { healthy: boolean } & DrainLink = {
      connected: true,
      healthy: true,
      deliver({ record: { conversation_id } }) {
        asked.push(conversation_id);
        kafka.healthy = asked.length > 3 && partition(conversation_id) !== partition('c-0');
        return kafka.healthy ? Promise.resolve() : Promise.reject(new Undelivered('Not now.'));
      },
    };
    const spool = await open();
    kafka.healthy = false;
    await append(spool, ids(100));
    const drain = new Drain(spool, kafka, log);
    while (passes < 3) {
      await append(spool, [`late-${String(passes)}`]);
      await sleep(10);
    }
    const files = spool.sealed.length;
    assert.deepEqual([asked.length, new Set(asked.map(partition)).size], [3, 3]);
    while (new Set(asked).size < 100) await sleep(10);
    await drain.finish(0);
    assert.equal(files, 1, 'no pass seals a segment of later records');
    await spool.close();
  });

  it('does not read records again while they wait for a partition that is away', async () => {
    const late = partitionOf('c-0', PARTITIONS);
    let passes = 0;
    const log = pino({}, { write: (line: string) => void (passes += Number(line.includes('could not be sent on'))) });
    const kafka = link((id) => {
      if (partitionOf(id, PARTITIONS) === late) throw new Undelivered('Not now.');
    });
    const spool = await open({ segmentBytes: 20_000 });
    for (const id of ids(200)) await spool.append(event(id));
    const drain = new Drain(spool, kafka, log);
    while (passes < 1) await sleep(10);
    const last = spool.sealed.at(-1);
    assert.ok(last && spool.sealed.length > 1);
    await appendFile(last.file, 'damaged\n'); // which a reader would set aside
    while (passes < 3) await sleep(10);
    await drain.finish(0);
    assert.equal(drain.counts().setAside, 0);
    await spool.close();
  });

  it("loses nothing when the folder can't be synced after a segment was made smaller", async (t) => {
    const late = partitionOf('c-0', PARTITIONS);
    let away = true;
    const kafka = link((id) => {
      if (away && partitionOf(id, PARTITIONS) === late) throw new Undelivered('Not now.');
    });
    const spool = await open();
    await append(spool, ids(200));
    const bytes = spool.bytes;
    const handle = await openFile(folder);
    let refused = 0;
    t.mock.method(Object.getPrototypeOf(handle) as FileHandle, 'sync', async function (this: FileHandle) {
      if (!(await this.stat()).isDirectory()) return;
      refused++;
      throw new Error('EIO');
    });
    await handle.close();
    const drain = new Drain(spool, kafka, undefined);
    while (refused === 0) await sleep(10);
    away = false;
    await drain.finish(10_000);
    assert.deepEqual([...kafka.taken].sort(), ids(200).sort());
    assert.ok(bytes > 0 && spool.bytes === 0);
    await spool.close();
  });

  it('fails with a clear error when the disk refuses, and stores later records', async () => {
    const spool = await open();
    await append(spool, ['c-0']);
    const own = path.join(folder, (await readdir(folder))[0] ?? '');
    await rm(own, { recursive: true });
    const [lost] = await spool.segments(); // seals the segment that has lost its file, so that the next append must create one
    await writeFile(own, 'in the way');
    await assert.rejects(
      spool.append(event('c-1')),
      (error) =>
        error instanceof SpoolUnwritable && /can't be written, so the record was not stored/.test(error.message),
    );
    await rm(own);
    await append(spool, ['c-2']);
    assert.ok(lost);
    await spool.remove(lost);
    assert.match(await readFile((await spool.segments())[0]?.file ?? '', 'utf8'), /c-2/);
  });
});

async function leftOver(all: readonly string[]): Promise<string> {
  const spool = await open();
  await append(spool, all);
  await spool.close();
  const [owner = ''] = await readdir(folder);
  const [segment = ''] = await readdir(path.join(folder, owner));
  return path.join(folder, owner, segment);
}

async function refusedLines(): Promise<{ reason: string; line: string }[]> {
  const text = await readFile(path.join(folder, 'refused.ndjson'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { reason: string; line: string });
}
