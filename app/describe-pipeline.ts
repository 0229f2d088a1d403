import { processors, projections, services } from '../pipeline.ts';
import { describeKey } from '../stream/topic.ts';
import type { Topic } from '../stream/topic.ts';
import { topics } from '../topology.ts';

/** The pipeline as data. */
export function describePipeline(): object {
  return {
    topics: Object.values<Topic>(topics).map((topic) => {
      const { name, schema, keeps, external, holds } = topic;
      return { name, schema, key: describeKey(topic), keeps, external, holds };
    }),
    processors: processors.map(({ name, does, inputs, outputs, table }) => ({
      name,
      does,
      reads: inputs.map(({ topic }) => topic.name),
      writes: outputs.map((topic) => topic.name),
      table: table.name,
    })),
    projections: projections.map(({ name, topic, table }) => ({ name, reads: topic.name, table })),
    services: services.map(({ name, does }) => ({ name, does })),
  };
}
