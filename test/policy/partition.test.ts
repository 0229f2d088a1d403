import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { Partitioners } from 'kafkajs';
import { partitionOf } from '../../stream/partition.ts';

it("partitionOf agrees with Kafka's default partitioner, as kafkajs implements it", () => {
  const partitioner = Partitioners.DefaultPartitioner();
  const partitionMetadata = Array.from({ length: 6 }, (_, partitionId) => ({
    partitionId,
    leader: 1,
    partitionErrorCode: 0,
    replicas: [1],
    isr: [1],
  }));
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (key) => {
      assert.equal(partitionOf(key, 6), partitioner({ topic: 't', partitionMetadata, message: { key, value: null } }));
    }),
    { numRuns: 2000 },
  );
});
