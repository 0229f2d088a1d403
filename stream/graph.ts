/** Checks a pipeline before it runs. */
import type { Processor } from './processor.ts';
import type { Topic } from './topic.ts';

/** What is wrong with the graph, one sentence for each problem; empty when it is sound. */
export function graphProblems(processors: readonly Processor[], topics: readonly Topic[]): string[] {
  const problems: string[] = [];
  const writers = new Map<string, string>();
  for (const { name, table, outputs, inputs } of processors) {
    if (table.keeps !== 'latest per key') problems.push(`The table of ${name}, ${table.name}, must be compacted.`);
    for (const topic of new Set([table, ...outputs])) {
      const other = writers.get(topic.name);
      if (other !== undefined) problems.push(`${topic.name} has two writers, ${other} and ${name}.`);
      writers.set(topic.name, name);
    }
    for (const { topic, keyOf } of inputs) {
      if (topic.external && keyOf === undefined)
        problems.push(`${name} reads the external topic ${topic.name} and needs keyOf for it.`);
    }
  }
  for (const { name, inputs } of processors) {
    for (const { topic } of inputs) {
      if (!topic.external && !writers.has(topic.name))
        problems.push(`${name} reads ${topic.name}, which no processor writes.`);
    }
  }
  for (const topic of topics) {
    if (topic.external && writers.has(topic.name))
      problems.push(`${topic.name} is external, but ${writers.get(topic.name) ?? ''} writes it.`);
  }
  return problems;
}
