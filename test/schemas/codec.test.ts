import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import avsc from 'avsc';
import { createCodec } from '../../runtime/codec.ts';
import type { RegisteredSchema } from '../../runtime/schema-registry.ts';
import { schemas } from '../../schemas/types.ts';
import { Poison } from '../../stream/poison.ts';
import { topics } from '../../topology.ts';
import { conversation } from '../fixtures.ts';

const registered = new Map<number, string>();
const codec = createCodec(topics.conversations, 7, {
  schemaById: (id) => Promise.resolve(registered.get(id)),
  versions: () => Promise.resolve([...registered].map(([id, schema]) => ({ id, schema }))),
});
const good = codec.encode(conversation());

function frame(id: number, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeInt32BE(id, 1);
  return Buffer.concat([head, body]);
}

/** Processor time, because other processes may take the processor meanwhile. */
function millisecondsSince(began: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1000;
}

async function poison(bytes: Buffer): Promise<string> {
  await codec.prepare([bytes]);
  try {
    codec.decode(bytes);
  } catch (error) {
    assert.ok(error instanceof Poison, String(error));
    return error.code;
  }
  assert.fail('the bytes were decoded');
}

describe('codec', () => {
  it('decodes what it encoded, in Confluent framing', () => {
    assert.equal(good[0], 0);
    assert.equal(good.readInt32BE(1), 7);
    assert.deepEqual({ ...codec.decode(good) }.user_message, conversation().user_message);
    assert.equal(codec.decode(good).entities[0]?.value, '4521');
  });
  it('refuses every truncation of a record', async () => {
    for (let length = 0; length < good.length; length++) assert.match(await poison(good.subarray(0, length)), /bad-/);
  });
  it('refuses bytes after the record', async () =>
    assert.equal(await poison(Buffer.concat([good, Buffer.from([0])])), 'bad-avro'));
  it('refuses another first byte', async () => assert.equal(await poison(Buffer.from('{"json": true}')), 'bad-frame'));
  it('refuses an unknown schema id', async () =>
    assert.equal(await poison(frame(4242, good.subarray(5))), 'unknown-schema'));
  it('refuses invalid UTF-8', async () => {
    const bytes = Buffer.from(good);
    bytes[bytes.indexOf('track_order')] = 0xff;
    assert.equal(await poison(bytes), 'bad-utf8');
  });
  it('refuses what avsc can not decode in an internal topic too', () => {
    const own = createCodec(topics.approvedSampleCounts, 9, undefined);
    const events = createCodec(topics.conversationEvents, 9, undefined);
    for (const decode of [
      () => events.decode(frame(9, Buffer.from([0x02, 0x61, 0x7e]))), // there is no branch 63
      () => own.decode(frame(9, Buffer.alloc(20, 0xff))), // a number of more than ten bytes
    ])
      assert.throws(decode, (error) => error instanceof Poison && error.code === 'bad-avro');
  });
  it('refuses an array that claims 1e9 items before it allocates them', () => {
    const claim = avsc.Type.forSchema('long').toBuffer(1e9);
    const own = createCodec({ ...topics.conversations, schema: 'IntakeEntry', external: true }, 9, undefined);
    // IntakeEntry: captured_digest null (branch 0), then review_digests with a count of 1e9.
    assert.throws(
      () => own.decode(frame(9, Buffer.concat([Buffer.from([0]), claim]))),
      (error) => error instanceof Poison && error.code === 'bad-avro',
    );
  });
  it('refuses a schema whose array items take no bytes', async () => {
    const base = JSON.parse(schemas.ConversationCaptured) as { fields: object[] };
    registered.set(
      10,
      JSON.stringify({
        ...base,
        fields: [{ name: 'nothing', type: { type: 'array', items: 'null' } }, ...base.fields],
      }),
    );
    assert.equal(await poison(frame(10, good.subarray(5))), 'unreadable-schema');
  });
  it('quickly refuses items that take no bytes, however the schema hides them', async () => {
    const base = JSON.parse(schemas.ConversationCaptured) as { fields: object[] };
    const empty = { type: 'record', name: 'Empty', fields: [] };
    const hidden: Record<number, object[]> = {
      20: [{ name: 'xs', type: { type: 'array', items: { ...empty, fields: [{ name: 'n', type: 'null' }] } } }],
      21: [
        { name: 'first', type: empty },
        { name: 'xs', type: { type: 'array', items: 'samvad.Empty' } },
      ],
      22: [
        {
          name: 'xs',
          type: { type: 'array', items: { type: 'record', name: 'Outer', fields: [{ name: 'e', type: empty }] } },
        },
      ],
    };
    // Array blocks to the end, each claiming about as many items as bytes remain.
    const long = avsc.Type.forSchema('long');
    const blocks: Buffer[] = [];
    for (let left = 40_000; left > 100; left -= blocks.at(-1)?.length ?? 0)
      blocks.push(long.toBuffer(Math.max(1, left - 110)));
    const body = Buffer.concat(blocks);
    for (const [id, fields] of Object.entries(hidden)) {
      registered.set(Number(id), JSON.stringify({ ...base, fields: [...fields, ...base.fields] }));
      const began = process.cpuUsage();
      assert.equal(await poison(frame(Number(id), body)), 'unreadable-schema');
      assert.ok(millisecondsSince(began) < 500, `schema ${id} took ${String(millisecondsSince(began))} ms`);
    }
  });
  it('refuses a record whose parts take no bytes and double from level to level', async () => {
    const base = JSON.parse(schemas.ConversationCaptured) as { fields: object[] };
    let part: object = { type: 'record', name: 'R0', fields: [] };
    for (let i = 1; i <= 24; i++) {
      const again = `samvad.R${String(i - 1)}`;
      const fields = [
        { name: 'a', type: part },
        { name: 'b', type: again },
      ];
      part = { type: 'record', name: `R${String(i)}`, fields };
    }
    registered.set(23, JSON.stringify({ ...base, fields: [{ name: 'part', type: part }, ...base.fields] }));
    const began = process.cpuUsage();
    assert.equal(await poison(frame(23, good.subarray(5))), 'bad-avro');
    assert.ok(millisecondsSince(began) < 500, `it took ${String(millisecondsSince(began))} ms`);
  });
  it('refuses 5,000 records nested inside each other, and reads 20', async () => {
    const base = JSON.parse(schemas.ConversationCaptured) as { fields: object[] };
    const link = { type: 'record', name: 'Link', fields: [{ name: 'next', type: ['null', 'samvad.Link'] }] };
    registered.set(24, JSON.stringify({ ...base, fields: [...base.fields, { name: 'link', type: link }] }));
    const chain = (links: number) =>
      frame(24, Buffer.concat([good.subarray(5), Buffer.alloc(links, 2), Buffer.from([0])]));
    assert.equal(await poison(chain(5000)), 'bad-avro');
    await codec.prepare([chain(20)]);
    assert.equal(codec.decode(chain(20)).user_message, conversation().user_message);
  });
  it('tells types of the same name in several namespaces apart', async () => {
    const base = JSON.parse(schemas.ConversationCaptured) as { fields: object[] };
    const part = (namespace: string, type: unknown) => ({
      type: { type: 'record', name: 'Part', namespace, fields: [{ name: 'is', type }] },
    });
    const parts = [
      { name: 'text', ...part('samvad', 'string') },
      { name: 'number', ...part('other', { type: 'record', name: 'Inner', fields: [{ name: 'n', type: 'int' }] }) },
      { name: 'truth', ...part('', 'boolean') },
      { name: 'numberAgain', type: 'other.Inner' },
      { name: 'textAgain', type: 'Part' },
    ];
    registered.set(25, JSON.stringify({ ...base, fields: [...base.fields, ...parts] }));
    const record = (...bytes: number[]) => frame(25, Buffer.concat([good.subarray(5), Buffer.from(bytes)]));
    const [hi, seven, yes] = [[4, 0x68, 0x69], [14], [1]];
    const sound = record(...hi, ...seven, ...yes, ...seven, ...hi);
    await codec.prepare([sound]);
    assert.equal(codec.decode(sound).user_message, conversation().user_message);
    assert.equal(await poison(record(...hi, ...seven, ...yes, ...seven, 4, 0xff, 0xff)), 'bad-utf8');
    assert.equal(await poison(record(...hi, ...seven, 2, ...seven, ...hi)), 'bad-avro');
  });
  it('refuses a block whose size in bytes is not true, which would take avsc back for ever', async () => {
    const base = JSON.parse(schemas.ConversationCaptured) as { fields: object[] };
    for (const [id, type, item] of [
      [26, { type: 'array', items: 'string' }, [2, 0x61]],
      [27, { type: 'map', values: 'int' }, [2, 0x61, 8]],
    ] as const) {
      registered.set(id, JSON.stringify({ ...base, fields: [...base.fields, { name: 'more', type }] }));
      const sized = (size: number) =>
        frame(
          id,
          Buffer.concat([good.subarray(5), Buffer.from([1, size >= 0 ? 2 * size : -2 * size - 1, ...item, 0])]),
        );
      for (const size of [-2, -1, 0, item.length - 1, item.length + 1])
        assert.equal(await poison(sized(size)), 'bad-avro', `${type.type} ${String(size)}`);
      await codec.prepare([sized(item.length)]);
      assert.equal(codec.decode(sized(item.length)).user_message, conversation().user_message);
    }
  });
  it('checks an Avro error as a record, whatever else has that name', async () => {
    const base = JSON.parse(schemas.ConversationCaptured) as { fields: object[] };
    const fields = [
      { name: 'pad', type: ['null', { type: 'fixed', name: 'error', namespace: '', size: 6 }] },
      {
        name: 'trap',
        type: { type: 'error', name: 'Trap', fields: [{ name: 'xs', type: { type: 'array', items: 'long' } }] },
      },
    ];
    registered.set(28, JSON.stringify({ ...base, fields: [...base.fields, ...fields] }));
    const claim = avsc.Type.forSchema('long').toBuffer(30_000_000);
    const bytes = Buffer.concat([claim, Buffer.alloc(6 - claim.length)]);
    assert.equal(await poison(frame(28, Buffer.concat([good.subarray(5), Buffer.from([0]), bytes]))), 'bad-avro');
    const sound = frame(28, Buffer.concat([good.subarray(5), Buffer.from([0, 4, 10, 12, 0])]));
    await codec.prepare([sound]);
    assert.equal(codec.decode(sound).user_message, conversation().user_message);
  });
  it('refuses a schema that is not a conversation', async () => {
    registered.set(11, '"string"');
    assert.equal(await poison(frame(11, avsc.Type.forSchema('string').toBuffer('hi'))), 'unreadable-schema');
  });
  it('reads what an older version wrote', async () => {
    const base = JSON.parse(schemas.ConversationCaptured) as { fields: { name: string }[] };
    const older = { ...base, fields: base.fields.filter(({ name }) => name !== 'processing_time_ms') };
    registered.set(12, JSON.stringify(older));
    const bytes = frame(12, avsc.Type.forSchema(older as avsc.Schema).toBuffer(conversation()));
    await codec.prepare([bytes]);
    assert.equal(codec.decode(bytes).processing_time_ms, null);
    assert.equal(codec.decode(bytes).nlu_intent, 'track_order');
  });

  it('reads every registered version of its subject once it has fetched them', async () => {
    const base = JSON.parse(schemas.ConversationCaptured) as { fields: { name: string }[] };
    const older = { ...base, fields: base.fields.filter(({ name }) => name !== 'session_id') };
    registered.set(13, JSON.stringify(older));
    const bytes = frame(13, avsc.Type.forSchema(older as avsc.Schema).toBuffer(conversation()));
    assert.throws(() => codec.decode(bytes), /Schema 13 was not prepared/);
    await codec.prepareAll();
    assert.equal(codec.decode(bytes).session_id, null);
  });

  it('reads the versions that it knows while the registry is away, and fails for others until it is back', async () => {
    const away = new Error('The schema registry does not answer.');
    let versions = () => Promise.reject<RegisteredSchema[]>(away);
    const own = createCodec(topics.conversations, 7, {
      schemaById: () => Promise.reject(away),
      versions: () => versions(),
    });
    const bytes = frame(15, good.subarray(5));
    await own.prepareAll();
    assert.equal(own.decode(good).user_message, conversation().user_message);
    assert.throws(() => own.decode(bytes), away);
    versions = () => Promise.resolve([{ id: 15, schema: schemas.ConversationCaptured }]);
    await own.prepareAll();
    assert.equal(own.decode(bytes).user_message, conversation().user_message);
  });

  it('asks once for an id that the registry does not know, and again ten seconds later', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: 0 });
    let asked = 0;
    const known = new Map<number, string>();
    const own = createCodec(topics.conversations, 7, {
      schemaById: (id) => (asked++, Promise.resolve(known.get(id))),
      versions: () => Promise.resolve([]),
    });
    const bytes = frame(14, good.subarray(5));
    await own.prepare(Array<Buffer>(1000).fill(bytes));
    known.set(14, schemas.ConversationCaptured);
    t.mock.timers.setTime(10_000);
    await own.prepare([bytes]);
    assert.equal(asked, 1);
    assert.throws(
      () => own.decode(bytes),
      (error) => error instanceof Poison && error.code === 'unknown-schema',
    );
    t.mock.timers.setTime(10_001);
    await own.prepare([bytes]);
    assert.equal(own.decode(bytes).user_message, conversation().user_message);
  });

  it('remembers enough unknown ids to read a batch of nothing else, and no more', async () => {
    let asked = 0;
    const own = createCodec(topics.conversations, 7, {
      schemaById: () => (asked++, Promise.resolve(undefined)),
      versions: () => Promise.resolve([]),
    });
    const bytes = Array.from({ length: 50_001 }, (_, i) => frame(100 + i, Buffer.alloc(0)));
    await own.prepare(bytes);
    await own.prepare(bytes.slice(-10_000));
    assert.equal(asked, 50_001);
    await own.prepare(bytes.slice(0, 1));
    assert.equal(asked, 50_002);
  });
});
