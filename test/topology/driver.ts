/** The pipeline in memory, as tests start it. */
import { processors } from '../../pipeline.ts';
import { createCodec } from '../../runtime/codec.ts';
import type { Codec } from '../../runtime/codec.ts';
import type { SampleApproved } from '../../schemas/types.ts';
import { createTestDriver } from '../../stream/test-driver.ts';
import type { Topic } from '../../stream/topic.ts';
import { PARTITIONS, topics } from '../../topology.ts';

const codecs = new Map<string, Codec<unknown>>(
  Object.values(topics).map((topic: Topic, id) => [topic.name, createCodec(topic, id, undefined)]),
);

/** Starts a pipeline with empty topics. */
export function start(batchSize = 100) {
  return createTestDriver({
    processors,
    codecs: { of: <V>(topic: Topic<V>) => codecs.get(topic.name) as Codec<V> },
    deadLetters: topics.deadLetters,
    partitions: PARTITIONS,
    batchSize,
  });
}

/** The bytes of the largest value of a topic. */
export function largestValue(driver: Driver, topic: Topic): number {
  const codec = codecs.get(topic.name);
  const sizes = driver.records(topic).map(({ value }) => (value === null ? 0 : (codec?.encode(value).length ?? NaN)));
  return sizes.reduce((most, size) => Math.max(most, size), 0);
}

/** A pipeline in memory. */
export type Driver = ReturnType<typeof start>;

/** The samples that stand, by conversation. Their numbers of events depend on batch boundaries, so they are set to 0. */
export function standingSamples(driver: Driver): Map<string, SampleApproved> {
  const samples = [...driver.table(topics.currentSamples)].filter(([, { stands }]) => stands);
  return new Map(samples.map(([id, sample]) => [id, { ...sample, events: 0 }]));
}
