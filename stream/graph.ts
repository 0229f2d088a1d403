/** What must hold of a pipeline before it runs. */
import type { Processor } from './processor.ts';
import type { Topic } from './topic.ts';

/** Sentences that say what is wrong with the graph; empty when it is sound. */
export function graphProblems(processors: readonly Processor[], topics: readonly Topic[]): string[] {
  const problems: string[] = [];
  const writers = new Map<string, string>();
  for (const { name, table, outputs, inputs } of processors) {
    if (table.keeps !== 'latest per key') problems.push(`${name} remembers in ${table.name}, which must be compacted.`);
    for (const topic of new Set([table, ...outputs])) {
      const other = writers.get(topic.name);
      if (other !== undefined) problems.push(`${topic.name} has two writers, ${other} and ${name}.`);
      writers.set(topic.name, name);
    }
    for (const { topic, keyOf } of inputs) {
      if (topic.external && keyOf === undefined)
        problems.push(`${name} reads ${topic.name}, which others write, without keyOf.`);
    }
  }
  for (const { name, inputs } of processors) {
    for (const { topic } of inputs) {
      if (!topic.external && !writers.has(topic.name))
        problems.push(`${name} reads ${topic.name}, which nobody writes.`);
    }
  }
  for (const topic of topics) {
    if (topic.external && writers.has(topic.name))
      problems.push(`${topic.name} belongs to others but ${writers.get(topic.name) ?? ''} writes it.`);
  }
  return problems;
}
