import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runBatch } from '../../stream/batch.ts';
import type { BatchContext, RawRecord } from '../../stream/batch.ts';
import type { Processor } from '../../stream/processor.ts';
import { foldBatch } from '../../stream/projection.ts';
import type { Projection } from '../../stream/projection.ts';
import { Poison } from '../../stream/poison.ts';
import { topics } from '../../topology.ts';

const record: RawRecord = {
  ...{ topic: topics.trainingSamples.name, partition: 3, offset: 17, timestamp: 0, traceparent: null },
  ...{ key: Buffer.from('a'), value: Buffer.from('x') },
};
/** Its code and class decide whether a new session may help. */
class Away extends Error {
  readonly code = '57P01';
}

function fails(away: Away): (error: unknown) => boolean {
  return (error) => error === away && away.message === 'nlu.training-samples/3@17: no answer';
}

it('an error that stops a processor names the record', () => {
  const away = new Away('no answer');
  const processor = {
    ...{ name: 'failing', table: topics.approvedSampleCounts, outputs: [] },
    inputs: [
      {
        topic: topics.trainingSamples,
        step() {
          throw away;
        },
      },
    ],
  } as unknown as Processor;
  const codecs = { of: () => ({ decode: () => ({}), encode: () => Buffer.alloc(0) }) };
  const context = { codecs, deadLetters: topics.deadLetters, partitions: 6, state: () => new Map<string, Buffer>() };
  assert.throws(() => runBatch(processor, [record], context as unknown as BatchContext), fails(away));
});

it('an error that stops a projection names the record', () => {
  const away = new Away('no answer');
  const projection = {
    ...{ name: 'failing', topic: topics.trainingSamples, table: 't', key: 'id', columns: { id: 'text' } },
    row() {
      throw away;
    },
  } as unknown as Projection;
  const folding = { decode: () => ({}), keep: () => 0, onPoison: () => assert.fail('it is no poison') };
  assert.throws(() => foldBatch(projection, [record], folding), fails(away));
});

it('a dead letter for a table entry that can not be read names the entry', () => {
  const processor = {
    ...{ name: 'reading', table: topics.approvedSampleCounts, outputs: [] },
    inputs: [
      { topic: topics.trainingSamples, step: (_: unknown, table: { get(key: string): unknown }) => [table.get('3')] },
    ],
  } as unknown as Processor;
  const codecs = {
    of: (topic: { readonly name: string }) => ({
      encode: () => Buffer.alloc(0),
      decode() {
        if (topic.name !== topics.approvedSampleCounts.name) return {};
        throw new Poison('bad-frame', 'The record has 2 bytes.');
      },
    }),
  };
  const state = new Map([['3', Buffer.from('{}')]]);
  const context = { codecs, deadLetters: topics.deadLetters, partitions: 6, state: () => state };
  const { poisoned } = runBatch(processor, [record], context as unknown as BatchContext);
  assert.deepEqual(
    poisoned.map(([, { code, message }]) => [code, message]),
    [['bad-frame', "Its entry 3 in nlu.approved-sample-counts can't be read: The record has 2 bytes."]],
  );
});
