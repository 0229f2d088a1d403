import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createCodec } from '../../runtime/codec.ts';
import { leftOutLog } from '../../runtime/schema-registry.ts';
import type { Codecs } from '../../runtime/schema-registry.ts';
import { decodeRecords } from '../../runtime/read-topic.ts';
import type { RawRecord } from '../../stream/batch.ts';
import { Poison } from '../../stream/poison.ts';
import { topics } from '../../topology.ts';

const topic = topics.approvedSampleCounts;
const registered = new Map([
  [7, '"string"'],
  [9, undefined],
]);
const codec = createCodec(topic, 1, {
  schemaById: (id) => Promise.resolve(registered.get(id)),
  versions: () => Promise.resolve([]),
});
const good = codec.encode({
  ...{ data_set: 'default', partition: 0, approved: 3, approvals: 4, next_offset: 5 },
  ...{ by_module: {}, by_intent: {}, by_language: {} },
});
const framed = (id: number, ...body: number[]) => Buffer.from([0, 0, 0, 0, id, ...body]);

function reader() {
  const lines: unknown[][] = [];
  const warn = (...line: unknown[]) => void lines.push(line);
  const codecs: Codecs = {
    of: () => codec as never,
    leftOut: leftOutLog({ warn }),
  };
  return { codecs, lines };
}

function record(offset: number, value: Buffer | null): RawRecord {
  return { topic: topic.name, partition: 2, offset, timestamp: 0, key: null, value, traceparent: null };
}

it('a reader leaves foreign records out, and logs each once', () => {
  const { codecs, lines } = reader();
  const records = [
    record(0, good),
    record(1, Buffer.from('{"a":1}')),
    record(2, good.subarray(0, 8)),
    record(3, null),
    record(4, good),
  ];
  for (let time = 0; time < 2; time++)
    assert.deepEqual(
      [...decodeRecords(codecs, topic, records)].map(({ offset, value }) => [offset, value?.approved]),
      [
        [0, 3],
        [3, undefined],
        [4, 3],
      ],
    );
  const place = { topic: topic.name, partition: 2 };
  const [frame, cut] = [
    'The record starts with byte 123; Confluent framing starts with 0.',
    'The Avro record is cut off.',
  ];
  assert.deepEqual(lines, [
    [{ code: 'bad-frame', ...place, offset: 1, reason: frame }, 'foreign record left out'],
    [{ code: 'bad-avro', ...place, offset: 2, reason: cut }, 'foreign record left out'],
  ]);
});

it('a program that floods a topic with foreign records does not flood the log', () => {
  const { codecs, lines } = reader();
  const flood = Array.from({ length: 1000 }, (_, offset) => record(offset, Buffer.from('{}')));
  assert.deepEqual([...decodeRecords(codecs, topic, flood)], []);
  assert.equal(lines.length, 21);
  assert.deepEqual(lines.at(-1), [{ topic: topic.name, partition: 2 }, 'and more foreign records']);
});

for (const [id, code, why] of [
  [7, 'unreadable-schema', /^nlu\.approved-sample-counts\/2@6: Schema 7 can't be read as .*troubleshooting\.md/s],
  [9, 'unknown-schema', /^nlu\.approved-sample-counts\/2@6: No schema has the id 9\..*troubleshooting\.md/s],
] as const)
  it(`a reader stops at a record of an ${code}, and names it: more likely the registry was lost`, async () => {
    await codec.prepare([framed(id, 2)]);
    const fails = (error: unknown) => error instanceof Poison && error.code === code && why.test(error.message);
    const { codecs, lines } = reader();
    for (let time = 0; time < 2; time++)
      assert.throws(() => [...decodeRecords(codecs, topic, [record(6, framed(id, 2))])], fails);
    assert.deepEqual(lines, []);
    // The message of its dead letter does not change.
    assert.throws(
      () => codec.decode(framed(id, 2)),
      ({ message }: Error) => !message.includes('@6'),
    );
  });

it('any other error while a record is read names its place, and stays the same error', () => {
  const away = Object.assign(new Error('The registry is away.'), { code: 'ECONNREFUSED' });
  const { codecs } = reader();
  const failing = {
    ...codecs,
    of: () => ({
      decode() {
        throw away;
      },
    }),
  } as unknown as Codecs;
  for (let time = 0; time < 2; time++)
    assert.throws(
      () => [...decodeRecords(failing, topic, [record(6, good)])],
      (error) =>
        error === away &&
        away.code === 'ECONNREFUSED' &&
        away.message === 'nlu.approved-sample-counts/2@6: The registry is away.' &&
        away.stack?.startsWith(`Error: ${away.message}\n`) === true,
    );
});
